"""How many ticks fall into each minute of the next day, over all jobs."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from cron_tasks.errors import ScheduleError
from cron_tasks.pages.index import IndexedJob, Snapshot
from cron_tasks.schedules import from_spec
from cron_tasks.schedules.durations import DAY, HOUR, MINUTE
from cron_tasks.text.display import sort_key

#: Minutes that are shown, and minutes that are counted, so that an hour later it is still enough.
SHOWN, COUNTED = int(DAY // MINUTE), int((DAY + HOUR) // MINUTE)
#: Schedules that are counted between two rests, and seconds of a rest, for the pages.
BATCH, REST = 200, 0.02
#: The worst minutes that are named, and jobs that each names.
WORST, NAMED = 5, 5
#: Seconds after which a forecast is made again.
STALE = 600.0


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute with many ticks: its start (seconds), the ticks, and the first of its jobs."""

    at: float
    ticks: int
    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The ticks of each minute from `start` on (seconds, a whole minute), and the worst minutes.

    `made` is a time of the monotonic clock.
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


def make_forecast(
    groups: dict[str, list[str]], now: float, rest: Callable[[], None] = lambda: None
) -> Forecast:
    """Count the ticks of all schedules from the minute of `now` on. Call `rest` now and then."""
    start = now // MINUTE * MINUTE
    counts, owners = [0] * COUNTED, defaultdict[int, list[str]](list)
    for number, (spec, job_ids) in enumerate(groups.items()):
        for minute, times in Counter(_minutes_of(spec, start)).items():
            counts[minute] += times * len(job_ids)
            if len(owners[minute]) < NAMED:
                owners[minute] += job_ids[: NAMED - len(owners[minute])]
        if number % BATCH == BATCH - 1:
            rest()
    worst = sorted(range(SHOWN), key=lambda minute: (-counts[minute], minute))[:WORST]
    named = [
        Minute(start + m * MINUTE, counts[m], tuple(sorted(owners[m], key=sort_key)))
        for m in worst
        if counts[m]
    ]
    return Forecast(start, counts, named, time.monotonic())


def _minutes_of(spec: str, start: float) -> Iterator[int]:
    """Yield the minute of each tick of a schedule, counted from `start`."""
    first = datetime.fromtimestamp(start, UTC)
    last = datetime.fromtimestamp(start + COUNTED * MINUTE, UTC)
    try:
        for tick in from_spec(orjson.loads(spec)).between(first, last):
            yield int((tick.timestamp() - start) // MINUTE)
    except ScheduleError:
        return  # Beat quarantines the job, which `doctor` reports.


class Forecaster:
    """Makes forecasts in a thread, when one is asked for and the jobs have changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forecast: Forecast | None = None
        self._of: object = None

    def get(self, snapshot: Snapshot, patience: float) -> Forecast | None:
        """Return the latest forecast. None if the first one is not made after `patience` seconds.

        If the jobs have changed since, the next one is made in the background.
        """
        known = self._forecast
        age = time.monotonic() - known.made if known else STALE
        # A forecast that took long is not made again at every edit.
        if (known is None or self._of is not snapshot.jobs or age >= STALE) and age > 2:
            thread = threading.Thread(target=self._make, args=[snapshot], daemon=True)
            thread.start()
            thread.join(patience if known is None else patience / 10)
        return self._forecast

    def _make(self, snapshot: Snapshot) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            groups = group_by_schedule(snapshot.jobs.values())
            self._forecast = make_forecast(groups, time.time(), lambda: time.sleep(REST))
            self._of = snapshot.jobs
        finally:
            self._lock.release()
