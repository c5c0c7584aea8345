"""Make the slow parts of pages. With many jobs this runs in a separate process.

    python -m cron_tasks.pages.beside audit

The process writes its result to its standard output. It has the environment and the folder of
Flower, and so the same settings. It runs with a low priority, and ends when it is done, so that its
memory is freed.
"""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from redis import Redis

from cron_tasks.pages.forecast import group_by_schedule, make_forecast
from cron_tasks.pages.index import MANY, Index
from cron_tasks.pages.survey import make_audit, run_checks
from cron_tasks.settings import Settings, load
from cron_tasks.store import keys
from cron_tasks.store.client import connect

#: The increase of the niceness compared with Flower.
NICER = 5
#: Seconds after which a process that does not end is killed.
PATIENCE = 600.0


def _make_audit(redis: Redis, _: Settings) -> Any:
    return make_audit(redis, time.time())


def _run_checks(redis: Redis, settings: Settings) -> Any:
    return run_checks(redis, settings, time.time())


def _make_forecast(redis: Redis, _: Settings) -> Any:
    return make_forecast(group_by_schedule(Index(redis).get().jobs.values()), time.time())


PARTS: dict[str, Callable[[Redis, Settings], Any]] = {
    "audit": _make_audit,
    "checks": _run_checks,
    "forecast": _make_forecast,
}


class Maker:
    """Makes "audit", "checks" or "forecast" for one Redis.

    With few jobs, the calling thread makes it. With many, a separate process does.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    def make(self, what: str) -> Any:
        """Return the result. Raises RedisError, OSError or SubprocessError."""
        if self._redis.hlen(keys.JOBS) <= MANY:
            return PARTS[what](self._redis, self._settings)
        command = [sys.executable, "-P", "-m", __name__, what]
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            last_line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise OSError(f"{what}: {last_line or f'exit code {done.returncode}'}")
        return pickle.loads(done.stdout)  # noqa: S301  # Our own process wrote it.


def main() -> None:
    os.nice(NICER)
    out, sys.stdout = sys.stdout, sys.stderr
    settings = load()
    with connect(settings.redis_url.get_secret_value()) as redis:
        made = PARTS[sys.argv[1]](redis, settings)
    out.buffer.write(pickle.dumps(made))


if __name__ == "__main__":
    main()
