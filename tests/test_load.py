"""The warning about minutes in which more jobs are due at once than the workers can perform."""

from collections import Counter
from typing import Any

import pytest
from applying import apply
from redis import Redis

from cron_tasks.beat.rates import RateMeter
from cron_tasks.broker.presence import announce_worker
from cron_tasks.broker.rates import Rate, Sample, note_rate, read_rate, take_sample
from cron_tasks.registry.plan import Changes, Policy, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.schedules import parse
from cron_tasks.store import keys
from cron_tasks.sync import capacity, load
from cron_tasks.sync.capacity import assume_capacity
from cron_tasks.sync.load import (
    Peak,
    count_due,
    describe_peaks,
    find_peaks,
    warn_of_planned,
    warn_of_registered,
)

NINE = 1_800_003_600.0  # 2027-01-15 09:00:00 UTC
NOW = NINE - 5000


def test_the_worst_second_of_each_minute_counts() -> None:
    due = {60: 5, 61: 7, 119: 9, 120: 4, 181: 8}
    assert find_peaks(due, 4) == [Peak(119, 9), Peak(181, 8)]
    assert find_peaks(due, 9) == []


def test_redis_is_the_limit_of_many_slots() -> None:
    able = [assume_capacity("jobs", slots).per_second for slots in (1, 2, 4, 100)]
    assert able == [12_000, 24_000, 40_000, 40_000]


def test_ticks_of_a_day_are_counted_by_the_second() -> None:
    daily, often = parse(cron_expression="0 9 * * *"), parse(every=60)
    due = count_due({daily: 3, often: 2}, NOW)
    assert due[int(NINE)] == 5
    assert sum(due.values()) == 3 + 2 * 1440


def test_the_sentence_names_the_worst_minutes_in_the_zone() -> None:
    peaks = [Peak(int(NINE), 12_000), Peak(int(NINE) + 60, 11_000)]
    assert describe_peaks(peaks, assume_capacity("jobs", 1), "Europe/Berlin") == (
        "at 10:00 12,000 jobs are due at once (and 11,000 at 10:01); 1 slot of workers performs "
        "about 12,000 a second: spread them with `jitter`, or start more workers"
    )
    assert describe_peaks([], assume_capacity("jobs", 1), "UTC") is None


def listed(count: int, expression: str = "0 9 * * *") -> list[tuple[str, Any]]:
    return [
        (f"row {n}", {"id": n, "name": "x", "cron_expression": expression}) for n in range(count)
    ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "PER_SLOT", 20)


@pytest.mark.usefixtures("small")
def test_a_plan_and_a_registry_are_warned_of(redis: Redis) -> None:
    few = plan_changes({}, listed(10), Policy())
    assert warn_of_planned(redis, few, "UTC", NOW).jobs is None
    many = plan_changes({}, listed(11), Policy())
    warning = warn_of_planned(redis, many, "UTC", NOW).jobs
    assert warning is not None
    assert warning.startswith("at 09:00 11 jobs are due at once; 1 slot of workers")
    apply(redis, many, NOW)
    assert warn_of_registered(redis, "UTC", NOW).jobs == warning
    # A job that is in the schedule and stays counts, and one that is removed does not.
    assert warn_of_planned(redis, Changes(), "UTC", NOW).jobs == warning
    assert warn_of_planned(redis, Changes(removed=["3"]), "UTC", NOW).jobs is None
    # An edit that moves a job counts at its new time alone.
    moved = plan_changes(
        dict.fromkeys(map(str, range(11)), "old"), listed(11, "5 9 * * *"), Policy()
    )
    assert Counter(len(each) for each in (moved.added, moved.changed)) == {0: 1, 11: 1}
    planned = warn_of_planned(redis, moved, "UTC", NOW).jobs
    assert planned is not None
    assert planned.startswith("at 09:05 11 jobs")
    announce_worker(redis, "w", 2, NOW)
    assert warn_of_registered(redis, "UTC", NOW).jobs is None


@pytest.mark.usefixtures("small")
def test_a_plan_that_enables_jobs_is_warned_of(redis: Redis) -> None:
    """Disabled and paused jobs have no fire time, and an edit does not resume a paused job."""
    rows = listed(11)
    disabled = plan_changes({}, [(at, row | {"enabled": False}) for at, row in rows], Policy())
    apply(redis, disabled, NOW)
    known = dict.fromkeys(map(str, range(11)), "old")
    enabled = plan_changes(known, rows, Policy())
    assert Counter(len(each) for each in (enabled.added, enabled.changed)) == {0: 1, 11: 1}
    warning = warn_of_planned(redis, enabled, "UTC", NOW).jobs
    assert warning is not None
    apply(redis, enabled, NOW)
    assert warn_of_registered(redis, "UTC", NOW).jobs == warning
    edited = plan_changes(known, [(at, row | {"name": "y"}) for at, row in rows], Policy())
    assert warn_of_planned(redis, edited, "UTC", NOW).jobs == warning
    Registry(redis).pause("7", "for a test", NOW)
    assert warn_of_planned(redis, edited, "UTC", NOW).jobs is None


CALL = {"type": "http", "url": "http://example.org/"}


@pytest.fixture
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "CALLS_PER_SLOT", 20)


def calls(count: int, others: int = 0) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = listed(count + others)
    for _, row in rows[:count]:
        row["action"] = CALL
    return rows


@pytest.mark.usefixtures("few_calls")
def test_a_plan_and_a_registry_are_warned_of_calls(redis: Redis) -> None:
    few = plan_changes({}, calls(10, others=50), Policy())
    assert warn_of_planned(redis, few, "UTC", NOW).calls is None
    many = plan_changes({}, calls(11, others=50), Policy())
    warning = warn_of_planned(redis, many, "UTC", NOW).calls
    assert warning == (
        "at 09:00 11 HTTP calls are due at once; 1 slot of workers performs about 20 calls "
        "a second (assumed, not measured yet): spread them with `jitter`, or start more workers"
    )
    apply(redis, many, NOW)
    assert warn_of_registered(redis, "UTC", NOW).calls == warning
    assert warn_of_registered(redis, "UTC", NOW).jobs is None
    assert warn_of_planned(redis, Changes(), "UTC", NOW).calls == warning
    assert warn_of_planned(redis, Changes(removed=["3"]), "UTC", NOW).calls is None
    announce_worker(redis, "w", 2, NOW)
    assert warn_of_registered(redis, "UTC", NOW).calls is None


@pytest.mark.usefixtures("few_calls")
def test_of_very_many_jobs_a_sample_is_read(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SAMPLED", 30)
    apply(redis, plan_changes({}, calls(60), Policy()), NOW)
    warning = warn_of_registered(redis, "UTC", NOW).calls
    assert warning is not None
    assert "60 HTTP calls" in warning


def test_a_measured_rate_takes_the_place_of_the_assumed_one(redis: Redis) -> None:
    apply(redis, plan_changes({}, listed(40), Policy()), NOW)
    assert warn_of_registered(redis, "UTC", NOW).jobs is None
    note_rate(redis, "notify", Rate(60.0, 1, NOW - 60))
    warning = warn_of_registered(redis, "UTC", NOW).jobs
    assert warning is not None
    assert "1 slot of workers performs about 60 a second (measured on 2027-01-15)" in warning
    announce_worker(redis, "w", 2, NOW)
    assert warn_of_registered(redis, "UTC", NOW).jobs is None
    assert read_rate(redis, "notify", NOW + 8 * 86_400) is None


@pytest.mark.parametrize("stored", ["", "x", "1 2", "1 0 5", "nan nan nan", "1 2 3 4"])
def test_a_rate_that_cannot_be_read_does_not_count(redis: Redis, stored: str) -> None:
    redis.hset(keys.RATES, "notify", stored)
    redis.expire(keys.RATES, 60)
    assert read_rate(redis, "notify", NOW) is None


def test_the_highest_rate_of_the_same_slots_is_kept(redis: Redis) -> None:
    for per_second, slots, kept in [(500, 2, 500), (400, 2, 500), (600, 2, 600), (100, 1, 100)]:
        note_rate(redis, "http", Rate(per_second, slots, NOW))
        rate = read_rate(redis, "http", NOW)
        assert rate is not None
        assert rate.per_second == kept
    assert 0 < redis.ttl(keys.RATES) <= 7 * 86_400


def sample(at: float, notify: int = 0, http: int = 0, pending: int = 0) -> Sample:
    return Sample(at, {"notify": notify, "http": http}, pending)


@pytest.mark.parametrize(
    ("before", "after", "rates"),
    [
        (sample(0), sample(1, 5000, pending=5000), {"notify": 5000}),
        (sample(0), sample(1.25, http=500, pending=900), {"http": 400}),
        (sample(0), sample(1, 5000, pending=4999), {}),  # they had no more to do for long
        (sample(0), sample(1, 900, 90, pending=9000), {}),  # too few to say anything
        (sample(0), sample(3, 5000, pending=5000), {}),  # beat was held up
        (sample(1), sample(1, 5000, pending=5000), {}),
        (sample(1), sample(0.1, 5000, pending=5000), {}),  # the clock was put back
        (sample(0, 9000), sample(1, 5000, pending=9000), {}),  # the counters were lost
    ],
)
def test_only_a_second_with_a_queue_is_measured(
    before: Sample, after: Sample, rates: dict[str, float]
) -> None:
    assert after.rates_since(before) == rates


def test_a_sample_counts_what_waits_for_a_worker(redis: Redis) -> None:
    """Runs in flight, and later retries, do not wait for a worker."""
    redis.hset(keys.METRICS, mapping={"attempts_total|http|ok": 7, "attempts_total|http|failed": 2})
    redis.zadd(keys.DEADLINES, {"a@x": NOW + 4, "b@x": NOW - 9, "c@x": NOW + 14, "batch": NOW + 3})
    redis.hset(keys.BATCHES, "batch", '3 5 1800003600 \n["1","2","3"]')
    assert take_sample(redis, NOW) == Sample(NOW, {"notify": 0, "http": 9}, 5)
    redis.delete(keys.METRICS, keys.DEADLINES, keys.BATCHES)


def test_beat_measures_a_storm(redis: Redis) -> None:
    meter = RateMeter()
    announce_worker(redis, "w", 2, NOW)
    redis.zadd(keys.DEADLINES, {str(n): NOW for n in range(3000)})
    meter.measure(redis, NOW)
    redis.hset(keys.METRICS, "attempts_total|notify|ok", 2500)
    meter.measure(redis, NOW + 1)
    redis.delete(keys.DEADLINES)
    redis.hincrby(keys.METRICS, "attempts_total|notify|ok", 3000)
    meter.measure(redis, NOW + 2)
    assert read_rate(redis, "notify", NOW + 2) == Rate(2500, 2, NOW + 1)
    redis.delete(keys.METRICS)
