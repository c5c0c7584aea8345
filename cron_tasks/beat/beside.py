"""A thread beside beat's loop, for work that must not delay a tick. It has a separate
connection."""

import threading
import time
from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.beat.digest import tell_digest
from cron_tasks.beat.heartbeat import Heartbeat
from cron_tasks.beat.rates import RateMeter
from cron_tasks.settings import Settings
from cron_tasks.store.client import connect

log = structlog.get_logger("cron_tasks.beat")

#: Seconds between two checks whether this beat leads.
LOOK_EVERY = 1.0
#: Seconds between two checks whether the digest is due.
DIGEST_EVERY = 5.0
#: Seconds to wait for Redis.
PATIENCE = 2.0


class Beside:
    """Calls `turn` while this beat leads. `turn` returns the seconds until the next call.

    `is_leading` returns whether this beat leads. Beat's loop reports errors of Redis, so they are
    ignored here, and `turn` is called again.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        is_leading: Callable[[], bool],
        turn: Callable[[Redis], float],
    ) -> None:
        self._url = settings.redis_url.get_secret_value()
        self._is_leading = is_leading
        self._turn = turn
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Take no further turn. Do not wait for the current one."""
        self._ended.set()

    def _run(self) -> None:
        due = 0.0
        with connect(self._url, timeout=PATIENCE, retries=0) as redis:
            while not self._ended.wait(LOOK_EVERY):
                if not self._is_leading() or time.monotonic() < due:
                    continue
                began = time.monotonic()
                try:
                    due = began + self._turn(redis)
                except RedisError:
                    continue
                except Exception:
                    log.exception("beat.beside_raised", thread=self._thread.name)


def start_threads(
    settings: Settings, is_leading: Callable[[], bool], clock: Callable[[], float]
) -> list[Beside]:
    """Start the thread that measures rates, and those that the settings ask for: heartbeat and
    digest.

    `clock` returns seconds since the epoch.
    """

    def look_for_digest(redis: Redis) -> float:
        tell_digest(redis, settings, clock())
        return DIGEST_EVERY

    meter = RateMeter()
    turns: dict[str, Callable[[Redis], float]] = {
        "rates": lambda redis: meter.measure(redis, clock())
    }
    if settings.heartbeat_url is not None:
        turns["heartbeat"] = Heartbeat(settings).beat_once
    if settings.digest is not None:
        turns["digest"] = look_for_digest
    threads = [Beside(name, settings, is_leading, turn) for name, turn in turns.items()]
    for thread in threads:
        thread.start()
    return threads
