"""Leases in Redis: held for as long as the work takes, and free soon after a process dies."""

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

#: Seconds between two checks for due calls. A call is at most this late.
LOOK_EVERY = 1.0


@dataclass(slots=True)
class _Repeated:
    call: Callable[[], object]
    every: float
    at: float


_repeated: dict[int, _Repeated] = {}
_numbers = count()
_starting = threading.Lock()
_keeper = threading.Thread()


@contextmanager
def keep_calling(renew: Callable[[], object], every: float) -> Iterator[None]:
    """Call `renew` every so many seconds until the block ends.

    A renewal that fails is repeated at the next turn. A lease lasts for several turns. One thread
    serves the whole process, because starting and joining a thread costs milliseconds.
    """
    number = next(_numbers)
    _repeated[number] = _Repeated(renew, every, time.monotonic() + every)
    _start_keeper()
    try:
        yield
    finally:
        del _repeated[number]


def take_or_extend(lock: Lock) -> bool:
    """Extend a lock that we hold, or try to take it. Return whether we hold it now."""
    try:
        lock.reacquire()
    except LockError:
        return bool(lock.acquire(blocking=False))
    return True


def _start_keeper() -> None:
    """Start the thread if this process has none. A forked process has only the thread that
    forked."""
    global _keeper
    if not _keeper.is_alive():
        with _starting:
            if not _keeper.is_alive():
                _keeper = threading.Thread(target=_call_what_is_due, name="leases", daemon=True)
                _keeper.start()


def _call_what_is_due() -> None:
    while True:
        time.sleep(LOOK_EVERY)
        for repeated in list(_repeated.values()):
            if time.monotonic() < repeated.at:
                continue
            try:
                repeated.call()
            except RedisError as error:
                log.warning("lease.not_renewed", error=str(error))
            except Exception:
                # The other leases of this process depend on this thread.
                log.exception("lease.not_renewed")
            repeated.at = time.monotonic() + repeated.every
