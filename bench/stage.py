"""A Valkey without persistence, so that no disk is measured, and `celery` processes that use it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import Celery, Valkey, celery_processes
from redis import Redis

from cron_tasks.redis_client import connect


@dataclass(frozen=True)
class Stage:
    celery: Celery
    redis: Redis
    url: str
    folder: Path


@contextmanager
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkey = Valkey(folder / "valkey", appendfsync=None)
        env = {
            "CRON_TASKS_REDIS_URL": valkey.url,
            "CRON_TASKS_REST_URL": "http://127.0.0.1:9",
            "CRON_TASKS_CHAT_ID": "1",
        }
        try:
            with connect(valkey.url) as redis, celery_processes(env, folder) as celery:
                yield Stage(celery, redis, valkey.url, folder)
        finally:
            valkey.stop()
