"""The warning about minutes in which more jobs are due at once than the workers soon perform."""

from collections import Counter
from typing import Any

import pytest
from applying import apply
from redis import Redis

from cron_tasks.broker.presence import announce_worker
from cron_tasks.registry.plan import Changes, Policy, plan_changes
from cron_tasks.schedules import parse
from cron_tasks.sync import load
from cron_tasks.sync.load import (
    Peak,
    count_due,
    describe_peaks,
    find_capacity,
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
    assert [find_capacity(slots) for slots in (1, 2, 4, 100)] == [12_000, 24_000, 40_000, 40_000]


def test_ticks_of_a_day_are_counted_by_the_second() -> None:
    daily, often = parse(cron_expression="0 9 * * *"), parse(every=60)
    due = count_due({daily: 3, often: 2}, NOW)
    assert due[int(NINE)] == 5
    assert sum(due.values()) == 3 + 2 * 1440


def test_the_sentence_names_the_worst_minutes_in_the_zone() -> None:
    peaks = [Peak(int(NINE), 12_000), Peak(int(NINE) + 60, 11_000)]
    assert describe_peaks(peaks, 1, "Europe/Berlin") == (
        "at 10:00 12,000 jobs are due at once (and 11,000 at 10:01); 1 slot of workers performs "
        "about 12,000 a second: spread them with `jitter`, or start more workers"
    )
    assert describe_peaks([], 1, "UTC") is None


def listed(count: int, expression: str = "0 9 * * *") -> list[tuple[str, Any]]:
    return [
        (f"row {n}", {"id": n, "name": "x", "cron_expression": expression}) for n in range(count)
    ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PER_SLOT", 20)


@pytest.mark.usefixtures("small")
def test_a_plan_and_a_registry_are_warned_of(redis: Redis) -> None:
    few = plan_changes({}, listed(10), Policy())
    assert warn_of_planned(redis, few, "UTC", NOW) is None
    many = plan_changes({}, listed(11), Policy())
    warning = warn_of_planned(redis, many, "UTC", NOW)
    assert warning is not None
    assert warning.startswith("at 09:00 11 jobs are due at once; 1 slot of workers")
    apply(redis, many, NOW)
    assert warn_of_registered(redis, "UTC", NOW) == warning
    # A job that is in the schedule and stays counts, and one that is removed does not.
    assert warn_of_planned(redis, Changes(), "UTC", NOW) == warning
    assert warn_of_planned(redis, Changes(removed=["3"]), "UTC", NOW) is None
    # An edit that moves a job counts at its new time alone.
    moved = plan_changes(
        dict.fromkeys(map(str, range(11)), "old"), listed(11, "5 9 * * *"), Policy()
    )
    assert Counter(len(each) for each in (moved.added, moved.changed)) == {0: 1, 11: 1}
    planned = warn_of_planned(redis, moved, "UTC", NOW)
    assert planned is not None
    assert planned.startswith("at 09:05 11 jobs")
    announce_worker(redis, "w", 2, NOW)
    assert warn_of_registered(redis, "UTC", NOW) is None
