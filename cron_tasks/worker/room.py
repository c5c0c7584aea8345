"""Limits the runs in flight on an event loop: in all, and at one place. Pure.

A place is the thing that a run waits for, such as a host. A host that does not answer fills only
its own share, so the runs of other places continue.
"""

from dataclasses import dataclass

#: Seconds for which a run waits for room if no run begins or ends.
HOLD = 2.0


@dataclass(slots=True)
class _Count:
    """Runs in flight, and when the last one began or ended (on the monotonic clock)."""

    most: int
    runs: int = 0
    moved: float = 0.0

    def is_full(self) -> bool:
        return self.runs >= self.most

    def is_stuck(self, now: float) -> bool:
        return self.is_full() and now > self.moved + HOLD


class Room:
    """Counts runs in flight: at most `most` in all, of which one place gets `most_at_one`."""

    def __init__(self, most: int, most_at_one: int) -> None:
        self._most_at_one = most_at_one
        self._all = _Count(most)
        self._at: dict[str, _Count] = {}

    def take(self, place: str, now: float) -> bool:
        """Count one more run. Return False if there is no room for it."""
        there = self._at.get(place) or _Count(self._most_at_one)
        if self._all.is_full() or there.is_full():
            return False
        self._at[place] = there
        for count in (self._all, there):
            count.runs += 1
            count.moved = now
        return True

    def leave(self, place: str, now: float) -> None:
        """Count one run less."""
        there = self._at[place]
        for count in (self._all, there):
            count.runs -= 1
            count.moved = now
        if not there.runs:
            del self._at[place]

    def is_stuck(self, place: str, now: float) -> bool:
        """Return whether waiting for room is pointless."""
        there = self._at.get(place)
        return self._all.is_stuck(now) or (there is not None and there.is_stuck(now))
