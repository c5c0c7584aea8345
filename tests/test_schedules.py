"""Window, exclusions, jitter, the ends of the calendar, English, and all faults at once."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any

import pytest
from schedule_helpers import MICRO, NOW, at, faults, ticks

from cron_tasks.schedules import from_spec, parse

NO_SPAN = "is not one of a date, {from, to} of dates in order or of two times of day"
ONE_OF = "needs exactly one of cron_expression, every, run_at or rrule; found"


def test_all_faults_are_reported_together() -> None:
    assert faults(
        cron_expression="99 * * * *",
        timezone="Mars/Phobos",
        start_at="soon",
        end_at=5,
        exclude=["Christmas", 7, {"from": "22:00", "to": "22:00"}, {"from": "22:00"}],
        jitter=1.5,
    ) == [
        ("jitter", "1.5 is not a whole number of seconds from 0 to 2,678,400"),
        ("timezone", "unknown time zone 'Mars/Phobos'"),
        ("start_at", "'soon' is not an ISO 8601 time such as 2026-03-01T09:00:00+01:00"),
        ("end_at", "5 is not an ISO 8601 time such as 2026-03-01T09:00:00+01:00"),
        ("exclude", f"Christmas {NO_SPAN}"),
        ("exclude", f"7 {NO_SPAN}"),
        ("exclude", f"22:00/22:00 {NO_SPAN}"),
        ("exclude", f"{{'from': '22:00'}} {NO_SPAN}"),
        ("cron_expression", "minute 99 is not in 0–59"),
    ]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, ("schedule", f"{ONE_OF} none")),
        ({"cron_expression": " ", "every": None},
         ("schedule", f"{ONE_OF} none")),
        ({"cron_expression": "* * * * *", "every": 5, "rrule": "FREQ=DAILY"},
         ("schedule", f"{ONE_OF} cron_expression, every and rrule")),
        ({"cron_expression": 5}, ("cron_expression", "5 is not a text such as '0 9 * * *'")),
        ({"rrule": 5}, ("rrule", "5 is not a text such as FREQ=DAILY;INTERVAL=2")),
        ({"every": 5, "timezone": None},
         ("timezone", "unknown time zone None")),
        ({"every": 5, "timezone": "europe/berlin"},
         ("timezone", "unknown time zone 'europe/berlin'; did you mean 'Europe/Berlin'?")),
        ({"every": 5, "timezone": "../../etc/passwd"},
         ("timezone", "unknown time zone '../../etc/passwd'")),
        ({"run_at": "2026-12-24"},
         ("run_at", "'2026-12-24' has no time of day, such as 2026-03-01T09:00")),
        ({"run_at": "tomorrow"},
         ("run_at", "'tomorrow' is not an ISO 8601 time such as 2026-03-01T09:00:00+01:00")),
        ({"run_at": "0001-01-01T00:00"},
         ("run_at", "'0001-01-01T00:00' lies outside the years 2 to 9998")),
        ({"run_at": "2026-12-24T09:00", "end_at": "2026-12-23"},
         ("run_at", "never fires between start_at and end_at")),
        ({"run_at": "2026-12-24T09:00", "start_at": "2026-12-25"},
         ("run_at", "never fires between start_at and end_at")),
        ({"run_at": "2026-12-24T09:00", "exclude": ["2026-12-24"]},
         ("exclude", "leaves no fire time")),
        ({"cron_expression": "0 3 * * *", "exclude": [{"from": "02:00", "to": "04:00"}]},
         ("exclude", "leaves no fire time")),
        ({"cron_expression": "0 3 * * *", "start_at": "2026-12-24T04:00",
          "end_at": "2026-12-25T02:00"},
         ("cron_expression", "never fires between start_at and end_at")),
        ({"every": 5, "start_at": "2026-12-24", "end_at": "2026-12-20"},
         ("end_at", "is not later than start_at")),
        ({"every": 5,
          "exclude": [{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "24:00"}]},
         ("exclude", "leaves no fire time")),
        ({"every": 5, "exclude": [{"from": "2026-12-26", "to": "2026-12-24"}]},
         ("exclude", f"2026-12-26/2026-12-24 {NO_SPAN}")),
        ({"every": 5, "jitter": -1},
         ("jitter", "-1 is not a whole number of seconds from 0 to 2,678,400")),
        ({"every": 5, "jitter": True},
         ("jitter", "True is not a whole number of seconds from 0 to 2,678,400")),
    ],
)  # fmt: skip
def test_faults(fields: dict[str, Any], fault: tuple[str, str]) -> None:
    assert faults(**fields) == [fault]


def test_a_window_includes_its_start_but_not_its_end() -> None:
    schedule = parse(
        cron_expression="0 9 * * *",
        timezone="Europe/Berlin",
        start_at="2026-12-01T09:00",
        end_at="2026-12-03T09:00",
    )
    assert ticks(schedule) == ["12-01 08:00:00", "12-02 08:00:00"]
    assert schedule.latest(NOW) is None
    assert schedule.latest(NOW + timedelta(days=999)) == at("2026-12-02T08:00+00:00")
    assert schedule.after(at("2026-12-02T08:00+00:00")) is None


def test_a_date_as_end_includes_the_whole_day() -> None:
    schedule = parse(
        cron_expression="0 */12 * * *",
        timezone="Europe/Berlin",
        start_at="2026-12-01",
        end_at="2026-12-01",
    )
    assert ticks(schedule) == ["11-30 23:00:00", "12-01 11:00:00"]


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["2026-11-24"], "23T18 25T06 25T18 26T06"),
        ([{"from": "2026-11-24", "to": "2026-11-25"}], "23T18 26T06 26T18 27T06"),
        ([{"from": "22:00", "to": "06:01"}], "23T18 24T18 25T18 26T18"),
        ([{"from": "22:00", "to": "06:00"}], "23T18 24T06 24T18 25T06"),
        ([{"from": "17:59:59", "to": "24:00"}], "24T06 25T06 26T06 27T06"),
        (["2026-11-23", "2026-11-24", {"from": "12:00", "to": "00:00"}], "25T06 26T06 27T06 28T06"),
    ],
)
def test_exclude(exclude: list[Any], expected: str) -> None:
    schedule = parse(cron_expression="0 6,18 * * *", timezone="Europe/Berlin", exclude=exclude)
    zone = timezone(timedelta(hours=1))
    found = list(islice(schedule.between(NOW, NOW + timedelta(days=99)), 4))
    assert " ".join(tick.astimezone(zone).strftime("%dT%H") for tick in found) == expected
    assert [schedule.latest(later - MICRO) for later in found[1:]] == found[:-1]
    assert from_spec(json.loads(json.dumps(schedule.to_spec()))) == schedule


def test_long_exclusions_are_skipped_at_once() -> None:
    schedule = parse(
        cron_expression="* * * * * *", exclude=[{"from": "2000-01-01", "to": "2999-12-31"}]
    )
    started = time.thread_time()
    assert schedule.after(NOW) == at("3000-01-01T00:00+00:00")
    assert schedule.latest(NOW) == at("1999-12-31T23:59:59+00:00")
    assert time.thread_time() - started < 0.1


def test_jitter_is_constant_for_each_job() -> None:
    offsets = {
        identity: parse(every=60, jitter=299, identity=identity).to_spec().get("j", 0)
        for identity in map(str, range(3000))
    }
    assert offsets["7"] == parse(every=60, jitter=299, identity="7").to_spec()["j"] == 190
    assert set(offsets.values()) == set(range(300))
    exact, late = parse(every=60), parse(every=60, jitter=299, identity="7")
    due = exact.after(NOW - timedelta(seconds=190))
    assert due
    assert late.after(NOW) == due + timedelta(seconds=190)
    assert ticks(late) == ["11-23 12:00:10", "11-23 12:01:10", "11-23 12:02:10"]


def test_jitter_stays_within_the_window_and_outside_exclusions() -> None:
    schedule = parse(
        cron_expression="0 9 * * *",
        start_at="2026-11-24T09:00",
        end_at="2026-11-26T09:00:01",
        exclude=["2026-11-25"],
        jitter=2_678_400,
        identity="7",
    )
    until_excluded = timedelta(hours=15)
    offset = timedelta(seconds=schedule.to_spec()["j"]) % until_excluded
    first, last = at("2026-11-24T09:00+00:00") + offset, at("2026-11-26T09:00+00:00")
    assert list(schedule.between(NOW, NOW + timedelta(days=99))) == [first, last]
    assert schedule.latest(last + timedelta(days=1)) == last
    assert schedule.latest(first - MICRO) is None
    assert schedule.nominal(first) == at("2026-11-24T09:00+00:00")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cron_expression": "0 9 * * *", "timezone": "Europe/Berlin"},
         "At 09:00 every day (Europe/Berlin)"),
        ({"cron_expression": "CRON_TZ=Asia/Kolkata 30 9 * * MON-FRI"},
         "At 09:30 on Monday through Friday (Asia/Kolkata)"),
        ({"cron_expression": "0 9 * * *", "start_at": "2026-01-01", "end_at": "2026-12-31",
          "exclude": ["2026-12-24", {"from": "2026-08-01", "to": "2026-08-31"}], "jitter": 299,
          "identity": "7"},
         "At 09:00 every day (UTC), from 2026-01-01 00:00, until 2027-01-01 00:00,"
         " except 2026-08-01 to 2026-08-31 and 2026-12-24, shifted by 190 s"),
        ({"cron_expression": "@daily", "exclude": [f"2026-12-{day}" for day in range(20, 27)]},
         "At 00:00 every day (UTC), except 2026-12-20, 2026-12-21, 2026-12-22 and 4 more"),
        ({"every": 1}, "Every second"),
        ({"every": 300, "timezone": "Europe/Berlin"}, "Every 5 minutes"),
        ({"every": "P1D"}, "Every 24 hours"),
        ({"every": 1, "exclude": [{"from": "22:00", "to": "06:00"}]},
         "Every second, except 22:00 to 06:00 (UTC)"),
        ({"every": 5401.5}, "Every 1 hour, 30 minutes and 1.5 seconds"),
        ({"every": 3600, "start_at": "2026-01-01T09:00:30", "timezone": "Europe/Berlin"},
         "Every hour, from 2026-01-01 09:00:30 (Europe/Berlin)"),
        ({"run_at": "2026-12-24T18:00", "timezone": "Europe/Berlin"},
         "Once at 2026-12-24 18:00 (Europe/Berlin)"),
    ],
)  # fmt: skip
def test_describe(fields: dict[str, Any], text: str) -> None:
    assert parse(**fields).describe() == text


@pytest.mark.parametrize(
    "fields",
    [
        {"cron_expression": "* * * * * *"},
        {"cron_expression": "0 0 31 12 *", "timezone": "Pacific/Kiritimati"},
        {"every": "P36525D", "timezone": "Pacific/Pago_Pago"},
        {"rrule": "FREQ=YEARLY;INTERVAL=7", "start_at": "2026-01-01", "timezone": "Asia/Kolkata"},
        {"rrule": "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1", "start_at": "2026-01-01"},
        {"run_at": "2026-01-01T00:00"},
        {"every": 5, "exclude": [{"from": "22:00", "to": "06:00"}], "jitter": 600, "identity": "7"},
    ],
)
def test_the_ends_of_the_calendar(fields: dict[str, Any]) -> None:
    schedule = parse(**fields)
    west, east = timezone(timedelta(hours=-23)), timezone(timedelta(hours=23))
    for zone in (UTC, west, east):
        last, first = datetime.max.replace(tzinfo=zone), datetime.min.replace(tzinfo=zone)
        assert schedule.after(last) is None
        assert schedule.latest(first) is None
        tick = schedule.after(first)
        assert tick
        assert tick.tzinfo is UTC
        final = schedule.latest(last)
        assert final
        assert schedule.after(final) is None
    assert (
        list(schedule.between(datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)))
        == []
    )


def test_a_naive_time_raises_value_error() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        parse(every=5).after(datetime(2026, 1, 1))


def test_between_is_lazy() -> None:
    every_second = parse(cron_expression="* * * * * *")
    assert next(every_second.between(NOW, datetime.max.replace(tzinfo=UTC))) == NOW
