"""Holding something in Redis for as long as the work on it takes, and no longer than its death."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import structlog
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

log = structlog.get_logger("cron_tasks.leases")

#: Seconds between two looks at what is held; renewals are at most this late.
LOOK_EVERY = 1.0


@dataclass(slots=True)
class _Held:
    renew: Callable[[], object]
    every: float
    at: float


_held: dict[int, _Held] = {}
_keys = count()
_starting = threading.Lock()
_keeper = threading.Thread()


@contextmanager
def keep_calling(renew: Callable[[], object], every: float) -> Iterator[None]:
    """Call `renew` every so many seconds until the block ends.

    A renewal that fails is tried again at the next turn: the lease outlives several. One thread
    serves the whole process, since starting and joining one for each block costs milliseconds.
    """
    key = next(_keys)
    _held[key] = _Held(renew, every, time.monotonic() + every)
    _start_keeper()
    try:
        yield
    finally:
        del _held[key]


def take_or_extend(lock: Lock) -> bool:
    """Whether a lock is ours from now on: extends it, or tries to get it."""
    try:
        lock.reacquire()
    except LockError:
        return bool(lock.acquire(blocking=False))
    return True


def _start_keeper() -> None:
    """A forked process has no thread but its own."""
    global _keeper
    if not _keeper.is_alive():
        with _starting:
            if not _keeper.is_alive():
                _keeper = threading.Thread(target=_keep, name="leases", daemon=True)
                _keeper.start()


def _keep() -> None:
    while True:
        time.sleep(LOOK_EVERY)
        for held in list(_held.values()):
            if time.monotonic() < held.at:
                continue
            try:
                held.renew()
            except RedisError as error:
                log.warning("lease.not_renewed", error=str(error))
            except Exception:
                # The other leases of this process depend on this thread.
                log.exception("lease.not_renewed")
            held.at = time.monotonic() + held.every
