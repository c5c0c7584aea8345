"""Write single rows while the list is read, so that an edit does not wait for 100,000 rows.

A list is read under the lock of the sync. Until it is planned, other threads of the same process
may share this lock to write rows that were poked, or that the feed sent. The list leaves these rows
out, because its own may be older. Poked rows are read once more after the list.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.errors import WriteRefused
from cron_tasks.registry.fence import Fence, sync_lock
from cron_tasks.registry.wanted import peek_wanted, select_rows

log = structlog.get_logger("cron_tasks.sync")

#: Seconds between two checks for wanted rows.
LOOK_EVERY = 0.02
#: Seconds after which Python switches to another thread. Reading a list only computes.
SWITCH_EVERY = 0.001
_USUAL_SWITCH = sys.getswitchinterval()


class Reading:
    """A list that this process is reading, and the ids of the rows that were written meanwhile.

    With `is_feed_ahead`, the feed was among the writers. It then continues from its own position:
    the cursor of the list may be after changes of these rows that only the list has.
    """

    def __init__(self, fence: Fence) -> None:
        self.written: set[str] = set()
        self.is_feed_ahead = False
        self._fence = fence
        self._lock = threading.Lock()
        self._has_ended = threading.Event()

    @contextmanager
    def share(self) -> Iterator[Fence | None]:
        """Keep the list from being written while the block runs. Yield None if the writing has
        begun."""
        with self._lock:
            yield None if self._has_ended.is_set() else self._fence

    def end(self) -> None:
        with self._lock:
            self._has_ended.set()

    def wait(self) -> bool:
        """Wait for a moment. Return whether the reading has ended."""
        time.sleep(LOOK_EVERY)  # An end wakes nobody: most readings end earlier, with a 304.
        return self._has_ended.is_set()


_reading: Reading | None = None
_threads = ThreadPoolExecutor(thread_name_prefix="meanwhile")


def _forget_parent() -> None:
    """Forget the threads and the reading. A forked process has only the thread that forked."""
    global _reading, _threads
    _reading = None
    _threads = ThreadPoolExecutor(thread_name_prefix="meanwhile")


os.register_at_fork(after_in_child=_forget_parent)


@contextmanager
def read_list_beside_rows(
    redis: Redis, fence: Fence, sync_rows: Callable[[list[str]], object]
) -> Iterator[Reading]:
    """Allow other rows to be written while the block reads the list. `sync_rows` reads and writes
    them."""
    global _reading
    _reading = reading = Reading(fence)
    # Starting and joining a thread for each sync would cost a quarter of a 304.
    _threads.submit(_serve_wanted, redis, reading, sync_rows)
    try:
        yield reading
    finally:
        reading.end()
        _reading = None


@contextmanager
def lock_for_feed(redis: Redis) -> Iterator[Fence | None]:
    """Hold the lock of the sync for the feed, or share it with a list that this process is reading.

    Yield None if another sync has it.
    """
    with sync_lock(redis) as fence:
        if fence:
            yield fence
            return
    if (reading := _reading) is None:
        yield None
        return
    with reading.share() as shared:
        reading.is_feed_ahead |= shared is not None
        yield shared


def note_written(ids: Iterable[str]) -> None:
    """Record that rows are about to be written, for a list that this process is reading."""
    if reading := _reading:
        reading.written.update(ids)


def _serve_wanted(redis: Redis, reading: Reading, sync_rows: Callable[[list[str]], object]) -> None:
    """Sync the wanted rows while the list is read. They stay wanted."""
    served: set[str] = set()
    try:
        while not reading.wait():
            sys.setswitchinterval(SWITCH_EVERY)
            wanted = peek_wanted(redis) - served
            rows = select_rows(wanted) if wanted else None
            if not rows:
                continue
            with reading.share() as fence:
                if fence:
                    sync_rows(rows)
            served |= wanted
    except (RedisError, WriteRefused):
        pass  # The list itself has the same problem, and reports it.
    except Exception:
        log.exception("sync.rows_not_read")
    finally:
        # The threads of two readings may overlap, so none restores what it found.
        sys.setswitchinterval(_USUAL_SWITCH)
