"""What is due next, judged before its time, so that then only the ledger is left to write.

Only a read: nothing is fired by it. What was judged may be out of date when its time comes, so
`Ledger.advance` passes over entries that were edited, moved or removed since, and beat then reads
what is still due as if nothing had been judged. Quartz acquires its triggers ahead likewise
(`batchTriggerAcquisitionFireAheadTimeWindow`).
"""

from collections import deque
from collections.abc import Iterator
from math import inf

from cron_tasks.beat.due import PAGE, Batch, Page

#: Seconds before its time from which an instant is judged. A beat that sleeps looks every two, so
#: there are three for it.
BEGIN = 5.0
#: Too short, in seconds, to judge one more page before the time comes.
TOO_LATE = 0.05
#: Most entries judged ahead; each takes half a kilobyte of beat's memory.
MOST = 100_000
#: What was judged for a time further back than this, in seconds, is judged anew: it may be late.
STALE = 1.0


class Ahead:
    """The batches of one instant, judged while leading with `token`, and the last entry of them."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self._begin(inf)

    def _begin(self, due: float) -> None:
        self._due = due
        self._batches: deque[Batch] = deque()
        self._whole = False
        self._rows = 0
        self.last = ""

    def wants(self, due: float, now: float) -> bool:
        """Whether to judge a page more of what is due at `due`, from after `last` on."""
        if due != self._due or due - now > BEGIN:
            self._begin(due)
        return TOO_LATE < due - now <= BEGIN and not self._whole

    def add(self, page: Page, batch: Batch) -> None:
        """Keep what a page was judged to be."""
        self._batches.append(batch)
        self._rows += len(page.rows)
        self._whole = len(page.rows) < PAGE or self._rows >= MOST
        self.last = page.rows[-1].key if page.rows else ""

    def take(self, now: float) -> Iterator[Batch]:
        """The batches, once their time has come."""
        if self._due > now:
            return
        while self._batches:
            batch = self._batches.popleft()
            if now - self._due <= STALE:
                yield batch
