"""The list of the REST service, and the edits that chaos makes to it.

The order of the list matters: thousands of filler jobs come first, so the fast jobs at its end are
in the last page that a sync writes. A restored list has its old ETag again.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rest_server import RestServer

from chaos.jobs import EDITS, FILLERS, costly, filler, flip

Row = dict[str, Any]


@dataclass
class Listing:
    """The current list of the service. Change it only inside `edit`.

    A fault holds `quiet` to keep the other editor away until its own edit has been applied.
    """

    rest: RestServer
    fast: Sequence[Row]
    flips: Sequence[Row]
    #: No filler is due before this time, in seconds since the epoch.
    idle_until: float
    swapped: bool = False
    every: int = EDITS[0]
    absent: set[str] = field(default_factory=set)
    costly: bool = False
    until: str | None = None
    quiet: threading.RLock = field(default_factory=threading.RLock)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def edit(self) -> Iterator["Listing"]:
        """Publish what the block changes, as one edit."""
        with self._lock:
            yield self
            self.rest.jobs = list(self._rows())

    @property
    def long(self) -> int:
        """The number of jobs that a swap changes."""
        absent = sum(job.startswith("filler-") for job in self.absent)
        return FILLERS + len(self.flips) - absent

    def _rows(self) -> Iterator[Row]:
        for number in range(FILLERS):
            row = filler(number, self.idle_until, self.swapped)
            if row["id"] not in self.absent:
                yield row | {"enabled": False} if self.until else row
        if self.costly:
            yield from costly()
        for row in self.fast:
            if row["id"].startswith("edited-"):
                row = row | {"every": self.every}
            yield from self._listed(row)
        for row in self.flips:
            yield from self._listed(flip(row, self.swapped))

    def _listed(self, row: Row) -> Iterator[Row]:
        if row["id"] not in self.absent:
            yield row | {"end_at": self.until} if self.until else row
