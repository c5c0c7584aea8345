"""Recurrence rules compared with python-dateutil, and cases in which its walk takes too long."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from cron_tasks.schedules import ScheduleError, from_spec, parse

MICRO = timedelta(microseconds=1)
FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
NEVER = ("rrule", "never fires between start_at and end_at")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def numbers(low: int, high: int, back: bool = False) -> st.SearchStrategy[str]:
    one = st.integers(low, high)
    either = st.one_of(one, one.map(lambda number: -number)) if back else one
    return st.lists(either, min_size=1, max_size=3, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, datetime]:
    """Generate a rule and its DTSTART, with the parts that dateutil understands as we do.

    It leaves out BYDAY with and without a number together, which dateutil reads as "both" and the
    RFC as "either". It leaves out BYSETPOS in the first week of a WEEKLY rule, where dateutil
    begins at DTSTART.
    """
    frequency = draw(st.sampled_from(FREQUENCIES))
    start = draw(st.datetimes(datetime(1999, 1, 1), datetime(2024, 1, 1))).replace(microsecond=0)
    parts = {
        "INTERVAL": st.sampled_from(["1", "2", "3", "5", "7", "12", "30"]),
        "BYMONTH": numbers(1, 12),
    }
    if frequency != "WEEKLY":
        parts["BYMONTHDAY"] = numbers(1, 31, back=True)
    if frequency in ("YEARLY", "HOURLY", "SECONDLY"):
        parts["BYYEARDAY"] = numbers(1, 366, back=True)
    weekday = st.sampled_from(DAYS)
    if frequency == "YEARLY":
        parts["BYWEEKNO"] = numbers(1, 53)
    elif frequency == "MONTHLY":
        nth = st.sampled_from(["1", "2", "3", "-1", "-2", "5"])
        weekday = st.one_of(weekday, st.builds(str.__add__, nth, weekday))
    days = st.lists(weekday, min_size=1, max_size=3, unique=True)
    parts["BYDAY"] = days.filter(lambda names: len({len(n) > 2 for n in names}) == 1).map(",".join)
    parts |= {"BYHOUR": numbers(0, 23), "BYMINUTE": numbers(0, 59), "BYSECOND": numbers(0, 59)}
    parts["WKST"] = st.sampled_from(["MO"] if frequency == "WEEKLY" else DAYS)
    chosen = draw(st.sets(st.sampled_from(sorted(parts)), max_size=4))
    text = [f"FREQ={frequency}", *(f"{part}={draw(parts[part])}" for part in sorted(chosen))]
    if any(part.startswith("BY") for part in chosen) and draw(st.integers(0, 3)) == 0:
        text.append(f"BYSETPOS={draw(numbers(1, 3, back=True))}")
        if frequency == "WEEKLY":
            start -= timedelta(days=start.weekday())
    match draw(st.integers(0, 4)):
        case 0:
            text.append(f"COUNT={draw(st.integers(1, 20))}")
        case 1:
            until = start + timedelta(days=draw(st.integers(0, 3000)))
            text.append(f"UNTIL={until:%Y%m%dT%H%M%S}")
    return ";".join(text), start


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(rules(), st.floats(0, 1))
def test_occurrences_agree_with_dateutil(rule: tuple[str, datetime], part: float) -> None:
    text, start = rule
    try:
        schedule = parse(rrule=text, start_at=start)
    except ScheduleError as refused:
        told = refused.errors
        assert told == [NEVER]
        return
    whole = schedule.between(start.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    ticks = list(islice(whole, 10))
    theirs = islice(rrulestr(text, dtstart=start), len(ticks))
    assert [tick.replace(tzinfo=None) for tick in ticks] == list(theirs)
    assert schedule.latest(ticks[0] - MICRO) is None
    for earlier, later in pairwise(ticks):
        between = earlier + (later - earlier) * part * 0.999
        assert schedule.latest(between) == earlier
        assert schedule.after(between) == later
    assert from_spec(schedule.to_spec()) == schedule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # most are examples of RFC 5545 3.8.5.3
        ("FREQ=DAILY;COUNT=2", "1997-09-02T09 1997-09-03T09"),
        ("FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH", "1997-09-02T09 1997-09-04T09 1997-09-16T09"),
        ("FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997-09-05T09 1997-10-03T09 1997-11-07T09"),
        ("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28T09 1997-10-29T09 1997-11-28T09"),
        ("FREQ=YEARLY;BYDAY=20MO", "1998-05-18T09 1999-05-17T09 2000-05-15T09"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1998-05-11T09 1999-05-17T09 2000-05-15T09"),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13T09 1998-03-13T09 1998-11-13T09"),
        (
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
            "1997-11-04T09 2001-11-06T09 2005-11-08T09",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
            "1997-09-29T09 1997-10-30T09 1997-11-27T09",
        ),
        (
            "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z",
            "1997-09-02T09 1997-09-02T12 1997-09-02T15",
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "1997-10-31T09 1997-12-31T09 1998-01-31T09"),
        # either of two kinds of day
        ("FREQ=MONTHLY;BYDAY=MO,1TU", "1997-09-02T09 1997-09-08T09 1997-09-15T09"),
        ("FREQ=DAILY;UNTIL=19970903", "1997-09-02T09 1997-09-03T09"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    schedule = parse(rrule=f"DTSTART;TZID=America/New_York:19970902T090000\nRRULE:{text}")
    assert schedule.timezone == "America/New_York"
    start = datetime(1997, 1, 1, tzinfo=UTC)
    found = islice(schedule.between(start, datetime(2100, 1, 1, tzinfo=UTC)), 3)
    zone = ZoneInfo("America/New_York")
    walls = [tick.astimezone(zone).strftime("%Y-%m-%dT%H") for tick in found]
    assert " ".join(walls) == expected


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;INTERVAL=7",
        "FREQ=MINUTELY;INTERVAL=17;BYHOUR=9",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
        "FREQ=MINUTELY;BYDAY=SU;BYSETPOS=1",
    ],
)
def test_an_old_dtstart_costs_nothing(text: str) -> None:
    """dateutil needs seconds to minutes for the same question."""
    schedule = parse(rrule=text, start_at="1990-01-01T00:00:00Z")
    when = datetime(2026, 11, 23, 9, 0, 0, 1, tzinfo=UTC)
    started = time.thread_time()
    for minute in range(50):
        asked = when + timedelta(minutes=minute)
        tick, latest = schedule.after(asked), schedule.latest(asked)
        assert tick
        assert latest
        assert latest <= asked < tick
    assert time.thread_time() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=3",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",  # from a Thursday
        "FREQ=YEARLY;INTERVAL=4;BYYEARDAY=366",  # no leap year among 2026, 2030, …
        "FREQ=SECONDLY;INTERVAL=3600;BYMINUTE=1",
        "FREQ=DAILY;BYHOUR=9;BYSETPOS=2",
        "FREQ=MONTHLY;BYHOUR=0,6,12,18;BYMINUTE=0,15,30,45;BYSETPOS=366",
        "FREQ=SECONDLY;BYSECOND=0;BYSETPOS=2",
        "FREQ=DAILY;UNTIL=20250101",
    ],
)
def test_a_rule_that_never_fires_is_rejected_quickly(text: str) -> None:
    started = time.thread_time()
    with pytest.raises(ScheduleError) as error:
        parse(rrule=text, start_at="2026-01-01T00:00")
    assert error.value.errors == [NEVER]
    assert time.thread_time() - started < 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FREQ=DAYLY", "FREQ 'DAYLY' is not one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY,"
         " MINUTELY, SECONDLY; did you mean 'DAILY'?"),
        ("INTERVAL=2", "has no FREQ, such as FREQ=DAILY"),
        ("FREQ=DAILY;BYMONHT=2", "unknown part 'BYMONHT'; did you mean 'BYMONTH'?"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL '0' is not in 1–999999999"),
        ("FREQ=DAILY;COUNT=1000000", "COUNT '1000000' is not in 1–10000"),
        ("FREQ=SECONDLY;INTERVAL=86401;BYHOUR=0;BYMINUTE=0;BYSECOND=0;COUNT=9",
         "COUNT=9 takes too long to count; end the rule with UNTIL"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR '24' is not in 0–23"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY '0' is not in 1–31"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY 'XX' is not one of MO, TU, WE, TH, FR, SA, SU"),
        ("FREQ=WEEKLY;BYDAY=2MO",
         "BYDAY counts days in months and years only"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101",
         "has both COUNT and UNTIL; only one of them can end it"),
        ("FREQ=DAILY;FREQ=DAILY", "has FREQ twice"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL 'TOMORROW' is not a time such as 20260301T090000"),
        ("DTSTART:soon\nRRULE:FREQ=DAILY", "DTSTART 'SOON' is not a time such as 20260301T090000"),
        ("DTSTART;X=1:20260101T000000\nRRULE:FREQ=DAILY",
         "'DTSTART;X=1' is not supported, only RRULE and DTSTART"),
        ("DTSTART;TZID=Europe/Berln:20260101T000000\nRRULE:FREQ=DAILY",
         "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY",
         "has 2 rules; expected one, such as FREQ=DAILY;INTERVAL=2"),
        ("RRULE:FREQ=DAILY\nEXDATE:20260101T000000",
         "'EXDATE' is not supported, only RRULE and DTSTART"),
    ],
)  # fmt: skip
def test_faults(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as error:
        parse(rrule=text, start_at="2026-01-01T00:00")
    assert ("rrule", message) in error.value.errors


def test_a_rule_needs_a_start() -> None:
    with pytest.raises(ScheduleError) as error:
        parse(rrule="FREQ=DAILY")
    assert error.value.errors == [("rrule", "has no DTSTART; write one, or give start_at")]


def test_dtstart_in_utc_becomes_a_wall_time_of_the_zone() -> None:
    schedule = parse(
        rrule="DTSTART:20260101T080000Z\r\nRRULE:FREQ=DAI\r\n LY", timezone="Europe/Berlin"
    )
    assert schedule.after(datetime(2026, 7, 1, tzinfo=UTC)) == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert schedule.to_spec() == {
        "r": "DTSTART:20260101T090000\nRRULE:FREQ=DAILY",
        "z": "Europe/Berlin",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FREQ=DAILY", "Every day"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "Every 2 weeks (BYDAY=MO,FR)"),
        ("freq=hourly;count=10;byday=mo", "Every hour (COUNT=10;BYDAY=MO)"),
    ],
)  # fmt: skip
def test_description_in_english(text: str, expected: str) -> None:
    schedule = parse(rrule=text, start_at="2026-03-02T09:30")
    assert schedule.describe() == f"{expected}, starting 2026-03-02 09:30 (UTC)"
