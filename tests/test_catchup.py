"""Decide which due fire times run: a table of outages and policies."""

import pickle
from dataclasses import dataclass

import pytest

from cron_tasks import schedules
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.catchup import Firing, Missed, apply_catchup, late_reason
from cron_tasks.schedules.iso8601 import iso_utc

T0 = 1_800_000_000.0  # a full minute
GRACE = 15.0
SECONDLY = schedules.parse(every=1)
MINUTELY = schedules.parse(cron_expression="* * * * *")


@dataclass(frozen=True)
class Catchup:
    policy: str = "one"
    window: float = 3600.0


def test_run_ids_round_trip() -> None:
    for job_id in ("7", "a@b", "ключ 1", "x:y/z"):
        for when in (T0, T0 + 0.5, T0 + 0.123456):
            found = RunId.parse(str(RunId(job_id, when)))
            assert found is not None
            assert (found.job_id, found.scheduled_for) == (job_id, when)
            assert found == RunId(job_id, when) == pickle.loads(pickle.dumps(found))
    assert RunId("7", T0) == "7@2027-01-15T08:00:00Z"
    assert iso_utc(T0 + 0.25) == "2027-01-15T08:00:00.250Z"


@pytest.mark.parametrize("text", ["", "7", "7@", "7@now", "7@2026-11-23T09:00:00+01:00", "@Z"])
def test_other_texts_are_not_run_ids(text: str) -> None:
    assert RunId.parse(text) is None


@pytest.mark.parametrize(
    ("policy", "late", "expected"),
    [
        # on time: within the grace each run starts, whatever the policy
        ("one", 0, Firing((T0,), None, T0 + 1)),
        ("none", 2, Firing((T0, T0 + 1, T0 + 2), None, T0 + 3)),
        ("all", 15, Firing(tuple(T0 + s for s in range(16)), None, T0 + 16)),
        # an outage
        (
            "one",
            100,
            Firing(
                tuple(T0 + s for s in range(85, 101)),
                Missed(T0, T0 + 84, "coalesced"),
                T0 + 101,
            ),
        ),
        (
            "none",
            100,
            Firing(
                tuple(T0 + s for s in range(85, 101)),
                Missed(T0, T0 + 84, "no_catchup"),
                T0 + 101,
            ),
        ),
        ("all", 30, Firing(tuple(T0 + s for s in range(31)), None, T0 + 31)),
    ],
)
def test_a_job_every_second(policy: str, late: float, expected: Firing) -> None:
    assert apply_catchup(SECONDLY, T0, T0 + late, Catchup(policy), GRACE) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            "one",
            Firing((T0 + 18_000,), Missed(T0, T0 + 17_940, "coalesced"), T0 + 18_060),
        ),
        ("none", Firing((T0 + 18_000,), Missed(T0, T0 + 17_940, "no_catchup"), T0 + 18_060)),
        (
            "all",
            Firing(
                tuple(T0 + 14_400 + 60 * n for n in range(1, 61)),
                Missed(T0, T0 + 14_400, "outside_window"),
                T0 + 18_060,
            ),
        ),
    ],
)
def test_five_hours_down(policy: str, expected: Firing) -> None:
    firing = apply_catchup(MINUTELY, T0, T0 + 18_010, Catchup(policy), GRACE)
    assert firing == expected


@pytest.mark.parametrize("policy", ["one", "none", "all"])
def test_every_policy_runs_what_is_within_the_grace(policy: str) -> None:
    every_5 = schedules.parse(every=5)
    firing = apply_catchup(every_5, T0, T0 + 31, Catchup(policy, window=1), GRACE)
    assert firing == Firing(
        (T0 + 20, T0 + 25, T0 + 30),
        Missed(
            T0, T0 + 15, {"one": "coalesced", "none": "no_catchup"}.get(policy, "outside_window")
        ),
        T0 + 35,
    )


def test_the_latest_fire_time_runs_if_none_is_within_the_grace() -> None:
    firing = apply_catchup(MINUTELY, T0, T0 + 110, Catchup("one"), GRACE)
    assert firing == Firing((T0 + 60,), Missed(T0, T0, "coalesced"), T0 + 120)


def test_a_daily_job_outside_its_window_is_missed() -> None:
    daily = schedules.parse(cron_expression="0 8 * * *")
    firing = apply_catchup(daily, T0, T0 + 5 * 3600, Catchup("one", 3600), GRACE)
    assert firing == Firing((), Missed(T0, T0, "outside_window"), T0 + 86_400)


def test_a_long_catch_up_runs_in_portions() -> None:
    firing = apply_catchup(SECONDLY, T0, T0 + 3000, Catchup("all"), GRACE)
    assert (len(firing.ticks), firing.next) == (1000, T0 + 1000)


def test_a_due_time_outside_the_schedule_fires_unchanged() -> None:
    once = schedules.parse(run_at="2020-01-01T00:00:00Z")
    assert apply_catchup(once, T0, T0 + 60, Catchup(), GRACE) == Firing((T0,), None, None)


@pytest.mark.parametrize(
    ("late", "policy", "reason"),
    [
        (15, "none", None),
        (16, "none", "no_catchup"),
        (16, "one", None),
        (3600, "all", None),
        (3601, "all", "outside_window"),
        (3601, "one", "outside_window"),
        (-5, "none", None),
    ],
)
def test_when_it_is_too_late_to_start(late: float, policy: str, reason: str | None) -> None:
    assert late_reason(T0, T0 + late, Catchup(policy), GRACE) == reason
