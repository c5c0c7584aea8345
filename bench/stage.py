"""A Valkey without persistence, so that no disk is measured, and `celery` processes that use it.

Valkey's own builds allocate with jemalloc, the wheel's does with glibc, which costs a storm a sixth
of its time: where the system has jemalloc (Debian: libjemalloc2), the wheel's is given it.
"""

import ctypes.util
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
        jemalloc = ctypes.util.find_library("jemalloc")
        print(f"Valkey allocates with {jemalloc or 'glibc: no jemalloc on this machine'}\n")
        valkey = Valkey(folder / "valkey", appendfsync=None, preload=jemalloc)
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
