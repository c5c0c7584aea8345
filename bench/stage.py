"""A Valkey, without persistence unless a bench is about it, and `celery` processes that use it.

Valkey's own builds allocate with jemalloc, the wheel's does with glibc, which costs a storm a sixth
of its time: where the system has jemalloc (Debian: libjemalloc2), the wheel's is given it.
"""

import ctypes.util
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from applying import apply
from processes import Celery, Valkey, celery_processes
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.store.client import connect

#: Rows that are registered at a time, for a million not to be in memory at once.
AT_ONCE = 50_000
#: A fingerprint has 16 characters.
FINGERPRINT = "bench".ljust(16, "-")


@dataclass(frozen=True)
class Stage:
    celery: Celery
    redis: Redis
    url: str
    folder: Path


def start_valkey(folder: Path, appendfsync: str | None = None) -> Valkey:
    jemalloc = ctypes.util.find_library("jemalloc")
    print(f"Valkey allocates with {jemalloc or 'glibc: no jemalloc on this machine'}\n")
    return Valkey(folder, appendfsync=appendfsync, preload=jemalloc)


@contextmanager
def stage(appendfsync: str | None = None) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkey = start_valkey(folder / "valkey", appendfsync)
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


def register(redis: Redis, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put these rows of a REST service into the registry as new jobs."""
    left = iter(rows)
    while page := list(islice(left, AT_ONCE)):
        added = []
        for row in page:
            job = validate_row(row, timezone="UTC")
            assert isinstance(job, Job), job
            added.append(Desired(job, FINGERPRINT))
        apply(redis, Changes(added=added), time.time())
