"""No row makes a schedule expensive: reading one, and each search, has a budget."""

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_helpers import MICRO, NOW, faults, understood

from cron_tasks.beat.due import Page, Row, judge_page
from cron_tasks.registry import entries
from cron_tasks.schedules import ScheduleError, from_spec, parse
from cron_tasks.schedules.budget import Budget, TooMuchWork
from cron_tasks.settings import Settings
from cron_tasks.store import keys

#: Seconds, many times more than the budget takes, for machines under load.
LONG = 1
TOO_MUCH = (
    "takes too much work to find a fire time; make the rule simpler, or let it fire more often"
)
NO_FIRE_TIME = "leaves no fire time, or takes too much work to find one"
ALL_HOURS = ",".join(map(str, range(24)))
ALL_MINUTES = ",".join(map(str, range(60)))


def sundays(count: int, weeks: int = 1) -> list[str]:
    return [(date(2026, 1, 4) + timedelta(weeks=weeks * n)).isoformat() for n in range(count)]


def each_second_minute() -> list[dict[str, str]]:
    times = [(hour, minute) for hour in range(24) for minute in range(0, 60, 2)]
    return [{"from": f"{h:02}:{m:02}", "to": f"{h:02}:{m + 1:02}"} for h, m in times]


def test_a_budget_is_a_number_of_steps() -> None:
    work = Budget(3)
    work.spend(3)
    with pytest.raises(TooMuchWork):
        work.spend()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"rrule": "FREQ=YEARLY;BYYEARDAY=366;BYSETPOS=2"},
         ("rrule", "never fires between start_at and end_at")),
        ({"rrule": "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2"},
         ("rrule", "never fires between start_at and end_at")),
        ({"rrule": "FREQ=SECONDLY;INTERVAL=86401;BYHOUR=0;BYMINUTE=0;BYSECOND=0"},
         ("rrule", TOO_MUCH)),
        ({"rrule": "FREQ=SECONDLY;INTERVAL=3601;BYMINUTE=1;BYSECOND=0"}, ("rrule", TOO_MUCH)),
        ({"rrule": "FREQ=MINUTELY;INTERVAL=61;BYDAY=MO;BYHOUR=3;BYMINUTE=0;COUNT=9000"},
         ("rrule", "COUNT=9000 takes too long to count; end the rule with UNTIL")),
        ({"rrule": "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;COUNT=9999"},
         ("rrule", "COUNT=9999 takes too long to count; end the rule with UNTIL")),
        ({"rrule": "FREQ=YEARLY;BYDAY=MO;BYSETPOS=1", "start_at": "2026-01-01T03:00",
          "exclude": [{"from": "02:00", "to": "04:00"}]}, ("exclude", NO_FIRE_TIME)),
        ({"cron_expression": "0 3 1 * *", "exclude": [{"from": "02:00", "to": "04:00"}]},
         ("exclude", NO_FIRE_TIME)),
        ({"cron_expression": "*/2 * * * *", "exclude": each_second_minute()},
         ("exclude", NO_FIRE_TIME)),
        ({"cron_expression": "0 0 * * SUN", "exclude": sundays(900)}, ("exclude", NO_FIRE_TIME)),
        ({"every": 60, "exclude": sundays(1001)},
         ("exclude", "has 1,001 entries; at most 1,000 are allowed")),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYDAY=" + ",".join(
            f"{n}{day}" for n in range(6, 54) for day in ("MO", "TU", "WE", "TH", "FR"))},
         ("rrule", "never fires between start_at and end_at")),
        ({"rrule": "FREQ=DAILY;BYSECOND=" + "1," * 9000 + "1"},
         ("rrule", "is longer than 10,000 characters")),
        ({"cron_expression": "*/30 2 * 3 SUN#2", "timezone": "America/New_York"},
         ("cron_expression", "never fires: the clock of America/New_York skips each of its times")),
    ],
)  # fmt: skip
def test_an_expensive_schedule_is_rejected_with_a_sentence(
    fields: dict[str, Any], fault: tuple[str, str]
) -> None:
    fields = {"start_at": "2026-01-01"} | fields if "rrule" in fields else fields
    started = time.thread_time()
    assert faults(**fields) == [fault]
    assert time.thread_time() - started < LONG


@pytest.mark.parametrize(
    "fields",
    [
        {"cron_expression": "0 0 29 2 MON#5"},
        {"cron_expression": "0 0 31 12 *", "start_at": "0003-01-01", "end_at": "9998-01-01"},
        {"cron_expression": "0 0 * * SUN", "exclude": sundays(300)},
        {"every": 1, "start_at": "0003-01-01", "exclude": [{"from": "00:00", "to": "23:59:59"}]},
        {"cron_expression": "* * * * * *", "jitter": 2_678_400, "exclude": sundays(300)},
        {"rrule": "FREQ=SECONDLY;INTERVAL=999999999"},
        {"rrule": "FREQ=DAILY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29"},
        {"rrule": "FREQ=YEARLY;INTERVAL=7;BYYEARDAY=366"},
        {"rrule": "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU;BYSETPOS=-1"},
        {"rrule": "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=0;BYMINUTE=0;BYSECOND=0"},
        {"rrule": f"FREQ=YEARLY;BYHOUR={ALL_HOURS};BYMINUTE={ALL_MINUTES};BYSECOND={ALL_MINUTES};"
                  "BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1"},
        {"rrule": "FREQ=MINUTELY;INTERVAL=61;BYHOUR=9"},
        {"rrule": "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1;COUNT=7900"},
        {"rrule": "FREQ=WEEKLY;BYDAY=FR;COUNT=7900"},
    ],
)  # fmt: skip
def test_an_answer_costs_milliseconds_at_any_time(fields: dict[str, Any]) -> None:
    fields = {"start_at": "1990-01-01"} | fields if "rrule" in fields else fields
    spec = parse(**fields).to_spec()
    for year in (1, 3, 1969, 1999, 2026, 2099, 2400, 9997, 9999):
        started = time.thread_time()
        fresh = from_spec(spec)
        fresh.after(datetime(year, 6, 1, tzinfo=UTC))
        fresh.latest(datetime(year, 6, 1, tzinfo=UTC))
        assert time.thread_time() - started < LONG


def test_a_stored_schedule_beyond_the_budget_raises_an_error_quickly() -> None:
    """Read a spec that an earlier version stored."""
    spec = {
        "r": "FREQ=SECONDLY;INTERVAL=86401;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
        "s": "2026-01-01T00:00:00Z",
    }
    schedule = from_spec(spec)
    started = time.thread_time()
    with pytest.raises(ScheduleError) as error:
        schedule.after(NOW)
    assert error.value.errors == [("schedule", TOO_MUCH)]
    assert time.thread_time() - started < LONG


def test_beat_quarantines_an_entry_beyond_the_budget_and_judges_the_others() -> None:
    """Both entries are as an earlier version stored them."""
    specs = {
        "1": '"r": "FREQ=SECONDLY;INTERVAL=86401;BYHOUR=0;BYMINUTE=0;BYSECOND=0", '
        '"s": "2026-01-01T00:00:00Z"',
        "2": '"r": "FREQ=DAILY;COUNT=7900", "s": "2020-01-01T12:00:00Z"',
    }
    rows = []
    for job_id, spec in specs.items():
        timing = f'"schedule": {{"__type__": "cron_tasks", {spec}}}, "enabled": true'
        definition = entries.format_definition(job_id, timing, {})
        key, score = keys.entry_key(job_id), str(NOW.timestamp())
        rows.append(Row(key, score, definition, None, f'{{"id": "{job_id}"}}'))
    page = Page(rows, 0, 0.0, 0.0, True, False)
    batch = judge_page(page, NOW.timestamp(), Settings(rest_url="http://127.0.0.1"))
    ((broken, error),) = batch.broken
    assert broken.key == keys.entry_key("1")
    assert TOO_MUCH in str(error)
    (advance,) = batch.advances
    assert (advance.job_id, advance.next) == ("2", NOW.timestamp() + 86_400)


@pytest.mark.parametrize(
    ("rule", "stored"),
    [
        ("FREQ=DAILY;COUNT=3", "FREQ=DAILY;UNTIL=20260103T090000"),
        ("COUNT=10;FREQ=HOURLY;BYDAY=MO", "UNTIL=20260105T090000;FREQ=HOURLY;BYDAY=MO"),
        ("FREQ=YEARLY;COUNT=9999", "FREQ=YEARLY"),
    ],
)
def test_count_is_stored_as_the_end(rule: str, stored: str) -> None:
    schedule = parse(rrule=f"DTSTART:20260101T090000\nRRULE:{rule}", timezone="Europe/Berlin")
    spec = schedule.to_spec()
    assert spec == {"r": f"DTSTART:20260101T090000\nRRULE:{stored}", "z": "Europe/Berlin"}
    earlier = from_spec({**spec, "r": f"DTSTART:20260101T090000\nRRULE:{rule}"})
    for again in (from_spec(spec), earlier):
        assert again == schedule
        assert again.after(NOW) == schedule.after(NOW)
        assert again.latest(NOW) == schedule.latest(NOW)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;COUNT=7900",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR;BYHOUR=3,9;COUNT=1000",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=500",
        "FREQ=YEARLY;BYDAY=SU;BYSETPOS=2,-2;COUNT=300",
        "FREQ=MONTHLY;INTERVAL=5;BYMONTHDAY=31,-1;COUNT=300",
        "FREQ=HOURLY;INTERVAL=7;COUNT=7900",
        "FREQ=HOURLY;INTERVAL=7;BYDAY=MO,TU;COUNT=500",
        "FREQ=MINUTELY;BYSECOND=0,30;BYHOUR=9;BYSETPOS=-1;COUNT=2000",
        "FREQ=SECONDLY;INTERVAL=17;COUNT=10000",
        "FREQ=DAILY;BYHOUR=6,12;BYMINUTE=0,30;BYSETPOS=1,3;COUNT=100",
    ],
)
def test_a_rule_with_count_agrees_with_dateutil_from_any_time(rule: str) -> None:
    start = datetime(2024, 1, 1, 9, 0, 0)  # a Monday
    theirs = [each.replace(tzinfo=UTC) for each in rrulestr(rule, dtstart=start)]
    schedule = from_spec(parse(rrule=rule, start_at=start).to_spec())
    assert schedule.after(theirs[-1]) is None
    assert schedule.latest(datetime(9000, 1, 1, tzinfo=UTC)) == theirs[-1]
    for at in (1, len(theirs) // 3, len(theirs) - 1):
        assert schedule.latest(theirs[at] - MICRO) == theirs[at - 1]
        assert schedule.after(theirs[at - 1]) == theirs[at]
    assert list(islice(schedule.between(theirs[0], theirs[-1]), 50)) == theirs[:50]


def chosen(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.lists(st.integers(low, high), min_size=1, max_size=4, unique=True)
    return numbers.map(lambda each: ",".join(map(str, filter(None, each))) or "1")


@st.composite
def recurrences(draw: st.DrawFn) -> dict[str, Any]:
    """Generate rules that people do not write: any parts together, with large numbers."""
    units = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
    large = st.sampled_from([2, 4, 7, 28, 59, 61, 1000, 1439, 1441, 3600, 3601, 86401, 999_999])
    parts = {
        "INTERVAL": large.map(str),
        "BYMONTH": chosen(1, 12),
        "BYMONTHDAY": chosen(-31, 31),
        "BYYEARDAY": chosen(-366, 366),
        "BYWEEKNO": chosen(-53, 53),
        "BYDAY": st.sampled_from(["MO", "SU,SA", "MO,TU,WE,TH,FR"]),
        "BYHOUR": chosen(1, 23),
        "BYMINUTE": chosen(1, 59),
        "BYSECOND": chosen(1, 59),
        "BYSETPOS": chosen(-366, 366),
        "COUNT": st.integers(1, 10_000).map(str),
    }
    names = draw(st.sets(st.sampled_from(sorted(parts)), max_size=5))
    text = [f"FREQ={draw(st.sampled_from(units))}"]
    text += [f"{name}={draw(parts[name])}" for name in sorted(names)]
    start = draw(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
    return {"rrule": ";".join(text), "start_at": start}


@st.composite
def crons(draw: st.DrawFn) -> dict[str, Any]:
    minute = draw(st.sampled_from(["0", "*", "*/7", "30", "*/30"]))
    hour = draw(st.sampled_from(["2", "*", "0", "*/23", "2-3"]))
    day = draw(st.sampled_from(["*", "29", "31", "L", "LW", "*/30", "13", "1-7"]))
    month = draw(st.sampled_from(["*", "2", "3", "2,9", "*/11"]))
    weekday = draw(st.sampled_from(["*", "MON", "MON#5", "SUN#2", "5L", "1/2"]))
    return {"cron_expression": f"{minute} {hour} {day} {month} {weekday}"}


@st.composite
def exclusions(draw: st.DrawFn) -> list[Any]:
    found: list[Any] = []
    if draw(st.booleans()):
        first = draw(st.dates(date(2000, 1, 1), date(2040, 1, 1)))
        step, count = draw(st.integers(1, 40)), draw(st.integers(1, 400))
        found += [(first + timedelta(days=step * n)).isoformat() for n in range(count)]
    for _ in range(draw(st.integers(0, 3))):
        low, length = draw(st.integers(0, 1439)), draw(st.integers(1, 1439))
        high = (low + length) % 1440
        found.append({"from": f"{low // 60:02}:{low % 60:02}",
                      "to": f"{high // 60:02}:{high % 60:02}"})  # fmt: skip
    return found


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.one_of(recurrences(), crons(), st.builds(lambda s: {"every": s}, st.integers(1, 10**9))),
    st.one_of(st.just([]), exclusions()),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(0, 2_678_400),
    st.lists(st.datetimes(timezones=st.just(UTC)), min_size=3, max_size=3),
    st.lists(
        st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
        min_size=8,
        max_size=8,
    ),
)
def test_an_accepted_schedule_answers_within_the_budget(
    rule: dict[str, Any],
    exclude: list[Any],
    zone: str,
    jitter: int,
    any_times: list[datetime],
    times: list[datetime],
) -> None:
    """An answer beyond the budget raises ScheduleError, which fails the test."""
    schedule = understood(**rule, exclude=exclude, timezone=zone, jitter=jitter, identity="7")
    for when in (*any_times, *times) if schedule else ():
        tick, latest = schedule.after(when), schedule.latest(when)
        assert tick is None or tick > when
        assert latest is None or latest <= when
