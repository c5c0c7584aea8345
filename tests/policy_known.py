"""The requests about a job, and its schedules over time. Nothing here reads the registry."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Known:
    """The requests about a job: its row, and its timing over time as (since, until, seconds)."""

    row: dict[str, Any]
    listed: bool = True
    paused: bool = False
    removed: list[float] = field(default_factory=list)
    skip: float | None = None
    catchups: set[str] = field(default_factory=set)
    windows: set[float] = field(default_factory=set)
    spans: list[tuple[float, float, int]] = field(default_factory=list)
    counts: tuple[float, int] | None = None

    @property
    def rests(self) -> bool:
        return self.paused or not self.listed or not self.row.get("enabled", True)

    def retime(self, now: float) -> None:
        """Apply the timing of the row from now on, if there is one."""
        catchup = {"policy": "one", "window": 3600} | self.row.get("catchup", {})
        self.catchups.add(catchup["policy"])
        self.windows.add(catchup["window"])
        every = 0 if self.rests else self.row["every"]
        if self.counts and self.counts[1] != every:
            self.spans.append((self.counts[0], now, self.counts[1]))
            self.counts = None
        if not self.counts:
            self.counts = now, every

    def expected(self, until: float) -> Iterator[float]:
        """Return every tick that the schedules of the time asked for."""
        last = (self.counts[0], until, self.counts[1]) if self.counts else (0.0, 0.0, 0)
        for since, to, every in (*self.spans, last):
            if every:
                tick = since // every * every + every
                while tick <= to:
                    yield tick
                    tick += every
