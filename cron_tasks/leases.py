"""Holding something in Redis for as long as the work on it takes, and no longer than its death."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger("cron_tasks.leases")


@contextmanager
def renewed(renew: Callable[[], object], every: float) -> Iterator[None]:
    """Call `renew` every so many seconds until the block ends.

    A renewal that fails is tried again at the next turn: the lease outlives several.
    """
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(every):
            try:
                renew()
            except RedisError as error:
                log.warning("lease.not_renewed", error=str(error))

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
