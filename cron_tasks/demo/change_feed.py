"""The feed of changes: the jobs that changed since a cursor. docs/rest-service.md explains it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from uuid import uuid4

#: The most changes that are remembered. A reader with an older cursor reads the list again.
REMEMBERED = 1_000
#: Seconds after which a waiting request checks whether it should still wait.
LOOK_AFTER = 0.25


class ChangeFeed:
    """Remembers the ids of changed jobs, in memory.

    A cursor counts the changes before it. It begins with a name of this memory, so that a cursor of
    an earlier process is recognized.
    """

    def __init__(self) -> None:
        self._ids: deque[str] = deque(maxlen=REMEMBERED)
        self._news = asyncio.Event()
        self.forget()

    @property
    def cursor(self) -> str:
        return f"{self._name}-{self._count}"

    def add(self, ids: Iterable[str]) -> None:
        """Add changed jobs, and wake waiting requests."""
        for job_id in ids:
            self._ids.append(job_id)
            self._count += 1
        self._wake()

    def forget(self) -> None:
        """Forget all changes, so that every cursor is too old."""
        self._ids.clear()
        self._name, self._count = uuid4().hex[:8], 0
        self._wake()

    def ids_since(self, cursor: str) -> list[str] | None:
        """Return the ids of the jobs that changed since `cursor`, each once.

        None if that is not known: the cursor is too old, or from another process.
        """
        name, _, number = cursor.partition("-")
        if name != self._name or not number.isdecimal():
            return None
        missed = self._count - int(number)
        if not 0 <= missed <= len(self._ids):
            return None
        return list(dict.fromkeys(list(self._ids)[len(self._ids) - missed :]))

    async def wait(self, cursor: str, seconds: float, is_over: Callable[[], bool]) -> None:
        """Return once there are changes since `cursor`, after `seconds`, or if `is_over`."""
        until = time.monotonic() + seconds
        while self.ids_since(cursor) == [] and not is_over():
            left = until - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self._news.wait(), min(left, LOOK_AFTER))
            except TimeoutError:
                continue

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
