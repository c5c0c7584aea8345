"""Counts the ticks of all jobs in each minute of the next day."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from cron_tasks.errors import ScheduleError
from cron_tasks.pages.index import IndexedJob
from cron_tasks.schedules import from_spec
from cron_tasks.schedules.durations import DAY, HOUR, MINUTE
from cron_tasks.text.display import sort_key

#: The minutes that are shown, and the minutes that are counted, which are enough for an hour later.
SHOWN, COUNTED = int(DAY // MINUTE), int((DAY + HOUR) // MINUTE)
#: The number of worst minutes, and the jobs that each names.
WORST, NAMED = 5, 5


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute with many ticks: its start (seconds), the ticks, and the first of its jobs."""

    at: float
    ticks: int
    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The ticks of each minute from `start` on (seconds, a whole minute), and the worst minutes.

    `made` is when the forecast was made (seconds).
    """

    start: float
    counts: Sequence[int]
    worst: Sequence[Minute]
    made: float

    def counts_from(self, now: float, minutes: int) -> Sequence[int]:
        """Return the ticks of each minute from that of `now` on."""
        first = int((now - self.start) // MINUTE)
        return self.counts[first : first + minutes]


def group_by_schedule(jobs: Iterable[IndexedJob]) -> dict[str, list[str]]:
    """Return the ids of the jobs that fire, by the spec of their schedule."""
    groups: dict[str, list[str]] = defaultdict(list)
    for job in jobs:
        if job.enabled and job.paused is None:
            groups[job.spec].append(job.id)
    return groups


def make_forecast(groups: dict[str, list[str]], now: float) -> Forecast:
    """Count the ticks of all schedules from the minute of `now` on."""
    start = now // MINUTE * MINUTE
    counts, owners = [0] * COUNTED, defaultdict[int, list[str]](list)
    for spec, job_ids in groups.items():
        for minute, times in Counter(_minutes_of(spec, start)).items():
            counts[minute] += times * len(job_ids)
            if len(owners[minute]) < NAMED:
                owners[minute] += job_ids[: NAMED - len(owners[minute])]
    worst = sorted(range(SHOWN), key=lambda minute: (-counts[minute], minute))[:WORST]
    named = [
        Minute(start + m * MINUTE, counts[m], tuple(sorted(owners[m], key=sort_key)))
        for m in worst
        if counts[m]
    ]
    return Forecast(start, counts, named, now)


def _minutes_of(spec: str, start: float) -> Iterator[int]:
    """Yield the minute of each tick of a schedule, counted from `start`."""
    first = datetime.fromtimestamp(start, UTC)
    last = datetime.fromtimestamp(start + COUNTED * MINUTE, UTC)
    try:
        for tick in from_spec(orjson.loads(spec)).between(first, last):
            yield int((tick.timestamp() - start) // MINUTE)
    except ScheduleError:
        return  # Beat quarantines the job, and `doctor` reports this.
