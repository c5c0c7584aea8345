"""Schedules against brute force, which checks every second or minute."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from cron_tasks.schedules import Schedule, ScheduleError, from_spec, parse

SECOND, MINUTE, MICRO = timedelta(seconds=1), timedelta(minutes=1), timedelta(microseconds=1)
bounded = settings(max_examples=60, deadline=None, derandomize=True, database=None)

#: Instants of clock changes, or a quiet day: (zone, near).
PLACES = [
    ("UTC", "2026-03-29T01:00Z"),
    ("Asia/Kolkata", "2024-02-28T18:30Z"),
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Australia/Sydney", "2026-10-03T16:00Z"),
    ("America/Havana", "2026-03-08T05:00Z"),
    ("America/Havana", "2026-11-01T05:00Z"),
    ("America/Santiago", "2026-04-05T03:00Z"),
    ("Africa/Cairo", "2026-04-23T22:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00Z"),  # two hours
    ("Pacific/Apia", "2011-12-30T10:00Z"),  # a day
]
places = st.sampled_from(PLACES)


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    """Generate a field of an expression and its numbers."""
    every = range(low, high + 1)
    match draw(st.sampled_from(["star", "steps", "list", "range"])):
        case "star":
            return "*", set(every)
        case "steps":
            step = draw(st.integers(2, high - low))
            return f"*/{step}", set(every[::step])
        case "list":
            chosen = draw(st.sets(st.sampled_from(every), min_size=1, max_size=3))
            return ",".join(map(str, chosen)), chosen
        case _:
            start = draw(st.integers(low, high - 1))
            end = draw(st.integers(start + 1, high))
            step = draw(st.integers(1, min(3, end - start)))
            return f"{start}-{end}/{step}", set(range(start, end + 1, step))


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, Callable[[datetime], bool], bool]:
    """Generate an expression, a test for wall times, and whether it fires by the *real* rule.

    Hours are mostly those in which clocks change.
    """
    minute, minutes = draw(fields(0, 59))
    night = st.sampled_from([(str(hour), {hour}) for hour in (0, 1, 2, 3, 23)])
    hour, hours = draw(st.one_of(night, fields(0, 23)))
    day, days = draw(st.one_of(st.just(("*", set(range(1, 32)))), fields(1, 31)))
    weekday, weekdays = draw(st.one_of(st.just(("*", set(range(7)))), fields(0, 6)))
    either = not (day.startswith("*") or weekday.startswith("*"))

    def matches(wall: datetime) -> bool:
        of_month, of_week = wall.day in days, wall.isoweekday() % 7 in weekdays
        on = (of_month or of_week) if either else (of_month and of_week)
        return on and wall.minute in minutes and wall.hour in hours

    real = minute.startswith("*") or hour.startswith("*")
    return f"{minute} {hour} {day} * {weekday}", matches, real


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant that shows a wall time, or the first minute after a gap."""
    while True:
        instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return instant
        wall += MINUTE


def walk(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


def brute_force(
    matches: Callable[[datetime], bool],
    real: bool,
    zone: ZoneInfo,
    start: datetime,
    end: datetime,
    step: timedelta = MINUTE,
) -> list[datetime]:
    if real:
        instants = walk(start, end, step)
        return [t for t in instants if matches(t.astimezone(zone).replace(tzinfo=None))]
    day = timedelta(hours=26)  # wall times repeat, so look farther on both sides
    first, last = (t.astimezone(zone).replace(tzinfo=None) for t in (start - day, end + day))
    found = {instant_of(wall, zone) for wall in walk(first, last, step) if matches(wall)}
    return sorted(tick for tick in found if start <= tick < end)


def agree(
    schedule: Schedule, ticks: list[datetime], start: datetime, end: datetime, when: datetime
) -> None:
    """Compare both directions, from any time between, with a fresh schedule and with a used one."""
    later = [tick for tick in ticks if tick > when]
    earlier = [tick for tick in ticks if tick <= when]
    fresh = schedule.after(when)
    assert fresh == later[0] if later else fresh is None or fresh >= end
    latest = schedule.latest(when)
    assert latest == earlier[-1] if earlier else latest is None or latest < start
    assert list(schedule.between(start, end)) == ticks
    for earlier_tick, tick in pairwise(ticks):
        assert schedule.latest(tick - MICRO) == earlier_tick
    assert schedule.after(when) == fresh


@bounded
@given(expressions(), places, st.integers(-90_000_000_000, 90_000_000_000))
def test_cron_by_the_minute(
    expression: tuple[str, Callable[[datetime], bool], bool], place: tuple[str, str], shift: int
) -> None:
    text, matches, real = expression
    zone, near = ZoneInfo(place[0]), datetime.fromisoformat(place[1])
    start, end = near - timedelta(hours=26), near + timedelta(hours=26)
    ticks = brute_force(matches, real, zone, start, end)
    schedule = parse(cron_expression=text, timezone=place[0])
    agree(schedule, ticks, start, end, near + timedelta(microseconds=shift))


@settings(bounded, max_examples=30)
@given(fields(0, 59), fields(0, 59), places, st.integers(-2400, 2400))
def test_cron_by_the_second(
    second: tuple[str, set[int]], minute: tuple[str, set[int]], place: tuple[str, str], shift: int
) -> None:
    zone, near = ZoneInfo(place[0]), datetime.fromisoformat(place[1])
    start, end = near - timedelta(minutes=40), near + timedelta(minutes=40)

    def matches(wall: datetime) -> bool:
        return wall.second in second[1] and wall.minute in minute[1]

    schedule = parse(cron_expression=f"{second[0]} {minute[0]} * * * *", timezone=place[0])
    ticks = brute_force(matches, True, zone, start, end, SECOND)
    agree(schedule, ticks, start, end, near + shift * SECOND + MICRO)


@bounded
@given(expressions(), st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "Australia/Sydney"]))
def test_five_fields_fire_as_in_cronsim(
    expression: tuple[str, Callable[[datetime], bool], bool], zone: str
) -> None:
    """cronsim is asked for one fire time after the other from before the change."""
    start = datetime(2026, 3, 25, 12, 30, tzinfo=UTC)
    theirs = CronSim(expression[0], start.astimezone(ZoneInfo(zone)))
    schedule, when = parse(cron_expression=expression[0], timezone=zone), start
    for _ in range(40):
        tick = schedule.after(when)
        assert tick == next(theirs).astimezone(UTC)
        when = tick


@bounded
@given(
    st.sampled_from(["*", "1,15", "L", "LW", "31", "*/10", "29"]),
    st.sampled_from(["*", "FEB", "2,8-10", "*/5", "12"]),
    st.sampled_from(["*", "MON#1", "5L", "FRI#5", "0,7", "MON-FRI", "SUN#2,3L"]),
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),
)
def test_days_agree_with_cronsim_in_both_directions(
    day: str, month: str, weekday: str, when: datetime
) -> None:
    text = f"15 7 {day} {month} {weekday}"
    try:
        ahead, behind = next(CronSim(text, when)), next(CronSim(text, when, reverse=True))
    except (CronSimError, StopIteration):
        with pytest.raises(ScheduleError, match="never"):
            parse(cron_expression=text)
        return
    schedule = parse(cron_expression=text)
    assert schedule.after(when.replace(tzinfo=UTC)) == ahead.replace(tzinfo=UTC)
    assert schedule.latest(when.replace(tzinfo=UTC) - MICRO) == behind.replace(tzinfo=UTC)


@bounded
@given(
    st.integers(1_000_000, 10**13),
    st.datetimes(datetime(1980, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
)
def test_intervals_never_drift(micros: int, start: datetime, when: datetime) -> None:
    """Microseconds since the start are whole, which integers check."""
    period = timedelta(microseconds=micros)
    schedule = parse(every=micros / 1_000_000, start_at=start)
    tick, latest = schedule.after(when), schedule.latest(when)
    assert tick is not None
    assert tick > when
    assert tick >= start
    assert (tick - start) // MICRO % micros == 0
    assert tick - when <= period or tick == start
    assert latest is None if when < start else latest == (tick - period)


@bounded
@given(
    st.lists(
        st.tuples(st.integers(0, 23), st.sampled_from([0, 30]), st.integers(1, 600)),
        min_size=1,
        max_size=3,
    ),
    places,
)
def test_quiet_times_exclude_their_wall_clock_times(
    quiet: list[tuple[int, int, int]], place: tuple[str, str]
) -> None:
    zone, near = ZoneInfo(place[0]), datetime.fromisoformat(place[1])
    start, end = near - timedelta(hours=26), near + timedelta(hours=26)
    hours = [(h * 60 + m, (h * 60 + m + length) % 1440) for h, m, length in quiet]

    def open_at(wall: datetime) -> bool:
        minute = wall.hour * 60 + wall.minute
        return wall.minute % 10 == 0 and not any(
            low <= minute < high if low < high else minute >= low or minute < high
            for low, high in hours
        )

    schedule = parse(
        cron_expression="*/10 * * * *",
        timezone=place[0],
        exclude=[
            {"from": f"{low // 60:02}:{low % 60:02}", "to": f"{high // 60:02}:{high % 60:02}"}
            for low, high in hours
        ],
    )
    ticks = brute_force(open_at, True, zone, start, end)
    agree(schedule, ticks, start, end, near)


@bounded
@given(
    expressions(),
    places,
    st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)), min_size=2, max_size=6),
    st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")]),
    st.integers(0, 100_000),
)
def test_after_is_later_and_monotonic_in_any_zone(
    expression: tuple[str, Callable[[datetime], bool], bool],
    place: tuple[str, str],
    moments: list[datetime],
    zone: Any,
    jitter: int,
) -> None:
    schedule = parse(cron_expression=expression[0], timezone=place[0], jitter=jitter, identity="42")
    whens = sorted(moment.replace(tzinfo=zone).astimezone(UTC) for moment in moments)
    answers = [schedule.after(when.astimezone(zone)) for when in whens]
    ticks = [tick for tick in answers if tick]
    assert all(tick > when for tick, when in zip(ticks, whens, strict=True))
    assert ticks == sorted(ticks)
    for when, tick in zip(whens, ticks, strict=True):
        assert schedule.latest(tick) == tick
        assert schedule.latest(tick - MICRO) == schedule.latest(when)
    assert from_spec(schedule.to_spec()) == schedule
