"""A Celery pool with one process, which stays usable however that process dies.

The processes of billiard's pool share a lock for reading their pipe, and an idle one holds it while
it waits. If such a process is killed, for example for lack of memory, the lock is never released,
and the process that replaces it waits forever. A single process needs no lock.
"""

from typing import Any

from billiard.pool import Pool
from celery.concurrency.prefork import TaskPool


class _NoLock:
    """Has the methods of a lock, but does not lock."""

    def acquire(self, *_: Any) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: Any) -> None:
        pass


class _UnlockedPool(Pool):
    _inqueue: Any
    _outqueue: Any

    def _setup_queues(self) -> None:
        """Make the pipes to and from the process (overrides billiard 4)."""
        super()._setup_queues()  # type: ignore[misc]
        self._inqueue._rlock = self._outqueue._wlock = _NoLock()


class OneProcessPool(TaskPool):
    """Celery's pool, for exactly one process."""

    BlockingPool = _UnlockedPool
