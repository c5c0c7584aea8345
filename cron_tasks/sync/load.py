"""Warn of the minutes in which more jobs are due at once than this installation soon performs.

What it performs are documented figures (docs/performance.md): a slot of a worker performs 12,000
notifications a second, and Redis about 40,000. The number of slots is what the workers announce. Up
to a half of that leaves room for retries, manual runs, and a worker that is gone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from redis import Redis

from cron_tasks.broker.presence import count_slots
from cron_tasks.registry.plan import Changes
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.text.english import number_of

#: Runs a second of a slot, and of all slots together.
PER_SLOT, MOST = 12_000, 40_000
#: The share of these that a list may need without a warning.
SHARE = 0.5
#: The minutes that a warning names, and those that are looked at second by second.
NAMED, LOOKED_AT = 3, 10
#: The fire times of one schedule that are looked at: a day of minutes.
FIRE_TIMES = 1440
_MINUTE = 60


class Peak(NamedTuple):
    """The worst second of a minute (seconds since the epoch), and how many jobs are due in it."""

    second: int
    jobs: int


def find_capacity(slots: int) -> int:
    """Return how many runs a second these slots perform."""
    return min(slots * PER_SLOT, MOST)


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


def describe_peaks(peaks: list[Peak], slots: int, zone: str) -> str | None:
    """Return a sentence that names the worst minutes and what can be done, or None."""
    if not peaks:
        return None
    times = [f"{datetime.fromtimestamp(peak.second, ZoneInfo(zone)):%H:%M}" for peak in peaks]
    first, *others = peaks[:NAMED]
    more = [f"{each.jobs:,} at {time}" for each, time in zip(others, times[1:], strict=False)]
    also = f" (and {', '.join(more)})" if more else ""
    does = "performs" if slots == 1 else "perform"
    able = f"{number_of(slots, 'slot')} of workers {does} about {find_capacity(slots):,} a second"
    return (
        f"at {times[0]} {first.jobs:,} jobs are due at once{also}; {able}: "
        "spread them with `jitter`, or start more workers"
    )


def warn_of_registered(redis: Redis, zone: str, now: float) -> str | None:
    """Return a warning about the jobs in the schedule, by the next fire time of each."""
    slots = count_slots(redis, now)
    most = SHARE * find_capacity(slots)
    if redis.zcard(keys.SCHEDULE) <= most:
        return None
    first = int(now // _MINUTE) * _MINUTE
    minutes = range(first, first + int(DAY), _MINUTE)
    counts = _count_scheduled(redis, minutes, _MINUTE)
    busy = [minute for minute, jobs in counts.most_common(LOOKED_AT) if jobs > most]
    seconds = [second for minute in busy for second in range(minute, minute + _MINUTE)]
    return describe_peaks(find_peaks(_count_scheduled(redis, seconds, 1), most), slots, zone)


def warn_of_planned(redis: Redis, changes: Changes, zone: str, now: float) -> str | None:
    """Return a warning about the jobs that there would be after these changes."""
    slots = count_slots(redis, now)
    most = SHARE * find_capacity(slots)
    if redis.zcard(keys.SCHEDULE) + len(changes.added) <= most:
        return None
    due = count_due(Counter(each.schedule for each in changes.desired if each.enabled), now)
    gone = {*changes.removed, *(each.id for each in changes.changed)}
    for key, score in redis.zscan_iter(keys.SCHEDULE, count=1000):
        if keys.job_id_of(key) not in gone and score < now + DAY:
            due[int(score)] += 1
    return describe_peaks(find_peaks(due, most), slots, zone)


def _count_scheduled(redis: Redis, starts: Iterable[int], length: int) -> Counter[int]:
    """Return how many jobs are due next within `length` seconds of each of these times."""
    times = list(starts)
    with redis.pipeline(transaction=False) as pipe:
        for start in times:
            pipe.zcount(keys.SCHEDULE, start, f"({start + length}")
        return Counter(dict(zip(times, pipe.execute(), strict=True)))
