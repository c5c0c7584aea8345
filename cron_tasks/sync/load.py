"""Warn of the minutes in which more jobs are due at once than the workers can soon perform."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from redis import Redis

from cron_tasks.registry.plan import Changes
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.store.paging import pages
from cron_tasks.sync.capacity import Capacity, read_capacity

#: The number of minutes that a warning names, and of minutes that are checked second by second.
NAMED, LOOKED_AT = 3, 10
#: The fire times of one schedule that are counted: a day of minutes.
FIRE_TIMES = 1440
#: The jobs of one second whose actions are read. For more jobs, their share of calls is assumed.
SAMPLED = 5000
_MINUTE = 60
_IS_CALL = '"action":{"type":"http"'


class Warnings(NamedTuple):
    """A sentence about the worst minutes of all jobs, and one about HTTP calls. None if not
    needed."""

    jobs: str | None = None
    calls: str | None = None

    @property
    def sentences(self) -> list[str]:
        return [each for each in self if each]


class Peak(NamedTuple):
    """The worst second of a minute (seconds since the epoch), and the number of jobs due in it."""

    second: int
    jobs: int


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
    """Return the number of jobs due in each second of the day after `start`.

    `schedules` are the schedules, each with its number of jobs.
    """
    begin = datetime.fromtimestamp(start, UTC)
    end = datetime.fromtimestamp(start + DAY, UTC)
    due = Counter[int]()
    for schedule, jobs in schedules.items():
        for tick in islice(schedule.between(begin, end), FIRE_TIMES):
            due[int(tick.timestamp())] += jobs
    return due


def describe_peaks(peaks: list[Peak], able: Capacity, zone: str) -> str | None:
    """Return a sentence with the worst minutes and advice, or None."""
    if not peaks:
        return None
    times = [f"{datetime.fromtimestamp(peak.second, ZoneInfo(zone)):%H:%M}" for peak in peaks]
    first, *others = peaks[:NAMED]
    more = [f"{each.jobs:,} at {time}" for each, time in zip(others, times[1:], strict=False)]
    also = f" (and {', '.join(more)})" if more else ""
    what = "HTTP calls" if able.kind == "calls" else "jobs"
    return (
        f"at {times[0]} {first.jobs:,} {what} are due at once{also}; {able.sentence}: "
        "spread them with `jitter`, or start more workers"
    )


def warn_of_registered(redis: Redis, zone: str, now: float) -> Warnings:
    """Return warnings about the jobs in the schedule, by the next fire time of each."""
    jobs, calls = read_capacity(redis, "jobs", now), read_capacity(redis, "calls", now)
    due = _find_busy_seconds(redis, min(jobs.most, calls.most), now)
    called = _count_calls(redis, _find_worst(due, calls.most))
    return Warnings(_describe(due, jobs, zone), _describe(called, calls, zone))


def warn_of_planned(redis: Redis, changes: Changes, zone: str, now: float) -> Warnings:
    """Return warnings about the jobs that would exist after these changes."""
    jobs, calls = read_capacity(redis, "jobs", now), read_capacity(redis, "calls", now)
    # A changed job may have no fire time yet.
    most_due = redis.zcard(keys.SCHEDULE) + len(changes.added) + len(changes.changed)
    if most_due <= min(jobs.most, calls.most):
        return Warnings()
    paused = _find_paused(redis, [each.id for each in changes.changed])
    enabled = [each for each in changes.desired if each.enabled and each.id not in paused]
    mark = _IS_CALL.encode()
    staying = _count_staying(redis, changes, now)
    due = count_due(Counter(each.schedule for each in enabled), now)
    called = count_due(Counter(each.schedule for each in enabled if mark in each.document), now)
    worst = _find_worst(called + staying, calls.most)
    called.update(_count_calls(redis, [each for each in worst if staying[each]], changes))
    due.update(staying)
    return Warnings(_describe(due, jobs, zone), _describe(called, calls, zone))


def _describe(due: Mapping[int, int], able: Capacity, zone: str) -> str | None:
    return describe_peaks(find_peaks(due, able.most), able, zone)


def _find_worst(due: Counter[int], most: float) -> list[int]:
    """Return the seconds with the most due jobs, if there are more than `most`."""
    return [second for second, jobs in due.most_common(LOOKED_AT) if jobs > most]


def _find_busy_seconds(redis: Redis, most: float, now: float) -> Counter[int]:
    """Return the number of next fire times in each second of the busiest minutes of a day."""
    if redis.zcard(keys.SCHEDULE) <= most:
        return Counter()
    first = int(now // _MINUTE) * _MINUTE
    minutes = range(first, first + int(DAY), _MINUTE)
    counts = _count_scheduled(redis, minutes, _MINUTE)
    busy = [minute for minute, jobs in counts.most_common(LOOKED_AT) if jobs > most]
    seconds = [second for minute in busy for second in range(minute, minute + _MINUTE)]
    return _count_scheduled(redis, seconds, 1)


def _list_gone(changes: Changes | None) -> set[str]:
    """Return the ids of the registered jobs whose next fire time the changes affect."""
    return {*changes.removed, *(each.id for each in changes.changed)} if changes else set()


def _find_paused(redis: Redis, job_ids: Iterable[str]) -> set[str]:
    """Return which of these jobs are paused. Those with a next fire time are not."""
    paused: set[str] = set()
    for page in pages(job_ids):
        scores = redis.zmscore(keys.SCHEDULE, [keys.entry_key(each) for each in page])
        idle = [job_id for job_id, score in zip(page, scores, strict=True) if score is None]
        with redis.pipeline(transaction=False) as pipe:
            for job_id in idle:
                pipe.hget(keys.entry_key(job_id), "paused")
            found = pipe.execute(raise_on_error=False)
        pauses = zip(idle, found, strict=True)
        paused.update(job_id for job_id, pause in pauses if isinstance(pause, str))
    return paused


def _count_staying(redis: Redis, changes: Changes, now: float) -> Counter[int]:
    """Return the number of next fire times in each second of a day, for jobs without changes."""
    due, gone = Counter[int](), _list_gone(changes)
    for key, score in redis.zscan_iter(keys.SCHEDULE, count=1000):
        if keys.job_id_of(key) not in gone and score < now + DAY:
            due[int(score)] += 1
    return due


def _count_calls(
    redis: Redis, seconds: Iterable[int], changes: Changes | None = None
) -> Counter[int]:
    """Return how many of the jobs that are due next in these seconds make HTTP calls.

    Only the first SAMPLED jobs of a second are read, and the result is extrapolated.
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
    """Return the number of next fire times within `length` seconds of each of these times."""
    times = list(starts)
    with redis.pipeline(transaction=False) as pipe:
        for start in times:
            pipe.zcount(keys.SCHEDULE, start, f"({start + length}")
        return Counter(dict(zip(times, pipe.execute(), strict=True)))
