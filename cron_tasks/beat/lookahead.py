"""The lookahead: what is due next is judged before its time, so that only the ledger is left.

It only reads, and fires nothing. What was judged may be out of date when its time comes. So
`Ledger.advance` ignores entries that were edited, moved or removed since, and beat then reads what
is still due as if nothing had been judged. Quartz acquires its triggers ahead likewise
(`batchTriggerAcquisitionFireAheadTimeWindow`).
"""

from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Any

from cron_tasks.beat.due import Judged, Page

#: Seconds before its time from which an instant is judged. A beat that sleeps looks every two
#: seconds, so it has three.
BEGIN = 5.0
#: Seconds before its time in which no further page is judged: it would not be ready.
TOO_LATE = 0.05
#: Most entries that are judged ahead. Each takes half a kilobyte of beat's memory.
MOST = 100_000
#: Seconds after which a page is dropped and its entries are judged again: they may be late.
STALE = 1.0


class Lookahead:
    """The pages of one instant, judged while leading with `token`.

    `last` is their last entry, `is_complete` says whether no more follow, and `queues` are those of
    the messages for them (None: the default one).
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
        """Turn to the instant `due`. Return whether to judge one more page of it, after `last`.

        Pages of another instant are dropped.
        """
        if due != self._due or due - now > BEGIN:
            self._begin(due)
        return TOO_LATE < due - now <= BEGIN and not self.is_complete

    def add(self, page: Page, judged: Judged) -> None:
        """Keep a page that was judged."""
        self._judged.append(judged)
        self._rows += page.size
        self.is_complete = not page.is_full or self._rows >= MOST
        self.last = page.last
        sent: list[Any] = [*judged.departures, *judged.ticks.values()]
        self.queues.update(each.options.get("queue") for each in sent)

    def take(self, now: float) -> Iterator[Judged]:
        """Yield what was judged, once their time has come."""
        if self._due > now:
            return
        while self._judged:
            judged = self._judged.popleft()
            if now - self._due <= STALE:
                yield judged
