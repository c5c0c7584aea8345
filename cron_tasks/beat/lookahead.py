"""The lookahead: the next ticks are judged before their time, so that only the ledger call is left.

The lookahead only reads, and fires nothing. Its results may be out of date when the time comes. So
`Ledger.advance` ignores entries that were edited, moved or removed since, and beat then reads the
entries that are still due as if nothing had been judged. Quartz acquires its triggers ahead in the
same way (`batchTriggerAcquisitionFireAheadTimeWindow`).
"""

from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Any

from cron_tasks.beat.due import Judged, Page

#: Seconds before an instant from which its ticks are judged. A beat that sleeps checks every two
#: seconds, so it has three.
BEGIN = 5.0
#: Seconds before an instant in which no further page is judged, because it would not be ready.
TOO_LATE = 0.05
#: The most entries that are judged ahead. Each takes half a kilobyte of beat's memory.
MOST = 100_000
#: Seconds after which a page is dropped and its entries are judged again, because they may be late.
STALE = 1.0


class Lookahead:
    """The pages of one instant, judged while leading with `token`.

    `last` is their last entry, `is_complete` is whether no more follow, and `queues` are the queues
    of their messages (None: the default one).
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self._begin(inf)

    def _begin(self, due: float) -> None:
        self._due = due
        self._judged: deque[Judged] = deque()
        self._rows = 0
        self.is_complete = False
        self.last = ""
        self.queues = set[str | None]()

    def prepare(self, due: float, now: float) -> bool:
        """Switch to the instant `due`. Return whether to judge one more page of it, after `last`.

        Pages of another instant are dropped.
        """
        if due != self._due or due - now > BEGIN:
            self._begin(due)
        return TOO_LATE < due - now <= BEGIN and not self.is_complete

    def add(self, page: Page, judged: Judged) -> None:
        """Keep a judged page."""
        self._judged.append(judged)
        self._rows += page.size
        self.is_complete = not page.is_full or self._rows >= MOST
        self.last = page.last
        sent: list[Any] = [*judged.departures, *judged.ticks.values()]
        self.queues.update(each.options.get("queue") for each in sent)

    def take(self, now: float) -> Iterator[Judged]:
        """Yield the judged pages, once their time has come."""
        if self._due > now:
            return
        while self._judged:
            judged = self._judged.popleft()
            if now - self._due <= STALE:
                yield judged
