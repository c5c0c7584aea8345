"""Warn of the minutes in which more jobs are due at once than this installation soon performs.

What it performs was measured while runs waited (broker/rates.py). Before that, figures are assumed
(docs/performance.md): a slot of a worker performs 12,000 notifications or 2,000 HTTP calls, and all
slots 40,000 or 10,000. The number of slots is what the workers announce. Up to half of that leaves
room for retries, manual runs, and a worker that is gone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from redis import Redis

from cron_tasks.broker.presence import count_slots
from cron_tasks.broker.rates import read_rate
from cron_tasks.registry.plan import Changes
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.text.english import number_of

#: Runs a second of a slot, and of all slots together, and the same of HTTP calls.
PER_SLOT, MOST = 12_000, 40_000
CALLS_PER_SLOT, MOST_CALLS = 2_000, 10_000
#: The share of these that a list may need without a warning.
SHARE = 0.5
#: The minutes that a warning names, and those that are looked at second by second.
NAMED, LOOKED_AT = 3, 10
#: The fire times of one schedule that are looked at: a day of minutes.
FIRE_TIMES = 1440
#: The jobs of one second whose actions are read. Of more, the share of calls among these counts.
SAMPLED = 5000
_MINUTE = 60
_IS_CALL = '"action":{"type":"http"'


class Peak(NamedTuple):
    """The worst second of a minute (seconds since the epoch), and how many jobs are due in it."""

    second: int
    jobs: int


def find_capacity(slots: int) -> int:
    """Return how many runs a second these slots perform."""
    return min(slots * PER_SLOT, MOST)


class Capacity(NamedTuple):
    """How many runs a second these slots perform, of jobs or of calls. `measured` is the day."""

    per_second: int
    slots: int
    kind: str = "jobs"
    measured: str = ""

    @property
    def sentence(self) -> str:
        """Say what is performed, and whether that is measured."""
        does = "performs" if self.slots == 1 else "perform"
        able = f"{number_of(self.slots, 'slot')} of workers {does} about {self.per_second:,}"
        unit = "calls a second" if self.kind == "calls" else "a second"
        if self.measured:
            return f"{able} {unit} (measured on {self.measured})"
        return f"{able} {unit}" + (" (assumed, not measured yet)" if self.kind == "calls" else "")


def read_capacity(redis: Redis, kind: str, now: float) -> Capacity:
    """Return what the present slots perform: as measured, else as assumed."""
    slots = count_slots(redis, now)
    rate = read_rate(redis, "http" if kind == "calls" else "notify", now)
    if rate:
        return Capacity(max(rate.scale(slots), 1), slots, kind, rate.date)
    if kind == "calls":
        return Capacity(min(slots * CALLS_PER_SLOT, MOST_CALLS), slots, kind)
    return Capacity(find_capacity(slots), slots, kind)


def find_peaks(by_second: Mapping[int, int], most: float) -> list[Peak]:
    """Return the worst second of each minute in which more than `most` jobs are due, the worst
    first."""
    worst: dict[int, Peak] = {}
    for second, jobs in by_second.items():
        peak = worst.get(second // _MINUTE)
        if jobs > most and (peak is None or jobs > peak.jobs):
            worst[second // _MINUTE] = Peak(second, jobs)
    return sorted(worst.values(), key=lambda peak: (-peak.jobs, peak.second))


def count_due(schedules: Mapping[Schedule, int], start: float) -> Counter[int]:
    """Return how many jobs are due in each second of the day after `start`.

    `schedules` are those of the jobs, with how many jobs have each.
    """
    begin = datetime.fromtimestamp(start, UTC)
    end = datetime.fromtimestamp(start + DAY, UTC)
    due = Counter[int]()
    for schedule, jobs in schedules.items():
        for tick in islice(schedule.between(begin, end), FIRE_TIMES):
            due[int(tick.timestamp())] += jobs
    return due


def describe_peaks(peaks: list[Peak], slots: int | Capacity, zone: str) -> str | None:
    """Return a sentence that names the worst minutes and what can be done, or None.

    `slots` is their number, if nothing was measured, or what they perform.
    """
    if not peaks:
        return None
    able = slots if isinstance(slots, Capacity) else Capacity(find_capacity(slots), slots)
    times = [f"{datetime.fromtimestamp(peak.second, ZoneInfo(zone)):%H:%M}" for peak in peaks]
    first, *others = peaks[:NAMED]
    more = [f"{each.jobs:,} at {time}" for each, time in zip(others, times[1:], strict=False)]
    also = f" (and {', '.join(more)})" if more else ""
    what = "HTTP calls" if able.kind == "calls" else "jobs"
    return (
        f"at {times[0]} {first.jobs:,} {what} are due at once{also}; {able.sentence}: "
        "spread them with `jitter`, or start more workers"
    )


def warn_of_registered(redis: Redis, zone: str, now: float) -> str | None:
    """Return a warning about the jobs in the schedule, by the next fire time of each."""
    able = read_capacity(redis, "jobs", now)
    most = SHARE * able.per_second
    return describe_peaks(find_peaks(_find_busy_seconds(redis, most, now), most), able, zone)


def warn_of_registered_calls(redis: Redis, zone: str, now: float) -> str | None:
    """Return the same warning about the HTTP calls among them."""
    able = read_capacity(redis, "calls", now)
    most = SHARE * able.per_second
    busy = Counter(
        {
            second: jobs
            for second, jobs in _find_busy_seconds(redis, most, now).items()
            if jobs > most
        }
    )
    calls = _count_calls(redis, [second for second, _ in busy.most_common(LOOKED_AT)])
    return describe_peaks(find_peaks(calls, most), able, zone)


def _find_busy_seconds(redis: Redis, most: float, now: float) -> Counter[int]:
    """Return how many jobs are due next in each second of the busiest minutes of a day."""
    if redis.zcard(keys.SCHEDULE) <= most:
        return Counter()
    first = int(now // _MINUTE) * _MINUTE
    minutes = range(first, first + int(DAY), _MINUTE)
    counts = _count_scheduled(redis, minutes, _MINUTE)
    busy = [minute for minute, jobs in counts.most_common(LOOKED_AT) if jobs > most]
    seconds = [second for minute in busy for second in range(minute, minute + _MINUTE)]
    return _count_scheduled(redis, seconds, 1)


def warn_of_planned(redis: Redis, changes: Changes, zone: str, now: float) -> str | None:
    """Return a warning about the jobs that there would be after these changes."""
    able = read_capacity(redis, "jobs", now)
    most = SHARE * able.per_second
    if redis.zcard(keys.SCHEDULE) + len(changes.added) <= most:
        return None
    due = count_due(Counter(each.schedule for each in changes.desired if each.enabled), now)
    due.update(_count_staying(redis, changes, now))
    return describe_peaks(find_peaks(due, most), able, zone)


def warn_of_planned_calls(redis: Redis, changes: Changes, zone: str, now: float) -> str | None:
    """Return the same warning about the HTTP calls among them."""
    able = read_capacity(redis, "calls", now)
    most = SHARE * able.per_second
    if redis.zcard(keys.SCHEDULE) + len(changes.added) <= most:
        return None
    mark = _IS_CALL.encode()
    planned = (each for each in changes.desired if each.enabled and mark in each.document)
    calls = count_due(Counter(each.schedule for each in planned), now)
    staying = _count_staying(redis, changes, now)
    busy = {each: calls[each] + staying[each] for each in calls.keys() | staying.keys()}
    worst = [each for each, _ in Counter(busy).most_common(LOOKED_AT) if busy[each] > most]
    calls.update(_count_calls(redis, [each for each in worst if staying[each]], changes))
    return describe_peaks(find_peaks(calls, most), able, zone)


def _list_gone(changes: Changes | None) -> set[str]:
    """Return the ids of the registered jobs whose next fire time will not stay."""
    return {*changes.removed, *(each.id for each in changes.changed)} if changes else set()


def _count_staying(redis: Redis, changes: Changes, now: float) -> Counter[int]:
    """Return how many jobs that the changes leave alone are due next in each second of a day."""
    due, gone = Counter[int](), _list_gone(changes)
    for key, score in redis.zscan_iter(keys.SCHEDULE, count=1000):
        if keys.job_id_of(key) not in gone and score < now + DAY:
            due[int(score)] += 1
    return due


def _count_calls(
    redis: Redis, seconds: Iterable[int], changes: Changes | None = None
) -> Counter[int]:
    """Return how many of the jobs that are due next in these seconds make HTTP calls.

    Only the first SAMPLED of a second are read, and stand for the others.
    """
    calls, gone = Counter[int](), _list_gone(changes)
    for second in seconds:
        due = redis.zcount(keys.SCHEDULE, second, f"({second + 1}")
        found = redis.zrangebyscore(keys.SCHEDULE, second, f"({second + 1}", 0, SAMPLED)
        sample = cast("list[str]", found)
        staying = [key for key in sample if keys.job_id_of(key) not in gone]
        with redis.pipeline(transaction=False) as pipe:
            for key in staying:
                pipe.hget(key, "job")
            documents = pipe.execute(raise_on_error=False)
        number = sum(isinstance(each, str) and _IS_CALL in each for each in documents)
        calls[second] = round(number * due / len(sample)) if sample else 0
    return calls


def _count_scheduled(redis: Redis, starts: Iterable[int], length: int) -> Counter[int]:
    """Return how many jobs are due next within `length` seconds of each of these times."""
    times = list(starts)
    with redis.pipeline(transaction=False) as pipe:
        for start in times:
            pipe.zcount(keys.SCHEDULE, start, f"({start + length}")
        return Counter(dict(zip(times, pipe.execute(), strict=True)))
