"""Find jobs whose runs take longer than their interval, so that fire times are skipped. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from cron_tasks.ledger.minutes import OUTGROWN, durations_of
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.human import format_runtime


@dataclass(frozen=True, slots=True)
class Outgrown:
    """A job whose runs outgrew its interval. Times are in seconds.

    `skipped` of the last `ticks` were skipped. `took` is the median of the runs that ended by
    themselves, None if none did.
    """

    every: float
    took: float | None
    skipped: int
    ticks: int

    @property
    def span(self) -> str:
        """The figures: `outgrew its interval: median 4.9 s, every 1 s`."""
        took = "no run ends before the next" if self.took is None else self._median
        return f"outgrew its interval: {took}, every {format_runtime(self.every)}"

    @property
    def _median(self) -> str:
        return f"median {format_runtime(self.took)}"

    @property
    def sentence(self) -> str:
        """The figures and the skipped ticks."""
        return f"{self.span}; {self.skipped:,} of the last {self.ticks:,} ticks were skipped"


def find_outgrown(
    runs: Iterable[Mapping[str, Any]], schedule: Schedule, now: float
) -> Outgrown | None:
    """Return how a job outgrew its interval, from the records of its runs. None if it did not.

    A job outgrew its interval if fire times were skipped because an earlier run was still in
    flight, and the median run takes longer than the time between two fire times. `now` is in
    seconds since the epoch.
    """
    known = [each for each in runs if "until" not in each]
    stopped = [each for each in known if each["status"] == "skipped"]
    skipped = sum(each["reason"] in OUTGROWN for each in stopped)
    took = durations_of([each for each in known if each["status"] != "skipped"])
    every = find_interval(schedule, now)
    if not skipped or not every or (took and median(took) <= every):
        return None
    return Outgrown(every, median(took) if took else None, skipped, len(known))


def find_interval(schedule: Schedule, now: float) -> float:
    """Return the seconds between the next two fire times after `now`, or 0."""
    first = schedule.after(datetime.fromtimestamp(now, UTC))
    after = schedule.after(first) if first else None
    return (after - first).total_seconds() if first and after else 0.0
