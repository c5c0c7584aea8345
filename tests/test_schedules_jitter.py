"""Jitter against brute force: every fire time of the series, and the minute that limits it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_helpers import MICRO, at
from test_schedules_properties import MINUTE, bounded, places

from cron_tasks.schedules import Schedule, from_spec, parse

DAY = timedelta(days=1)
RULES = ["*/7 * * * *", "0,1,20 * * * *", "30 2 * * *", "0 */5 * * *", "0 9 * * SUN", "59 23 * * *"]
#: Excluded times of day in minutes from midnight. The first passes midnight.
QUIET = [(1320, 360), (90, 150), (120, 125), (1, 2), (720, 1440)]


def shifted(series: Schedule, offset: int) -> Schedule:
    return from_spec(series.to_spec() | ({"j": offset} if offset else {}))


def excluded(wall: datetime, quiet: list[tuple[int, int]], days: list[str]) -> bool:
    minute = wall.hour * 60 + wall.minute
    return wall.date().isoformat() in days or any(
        low <= minute < high if low < high else minute >= low or minute < high
        for low, high in quiet
    )


def brute_force(
    ticks: list[datetime],
    offset: int,
    quiet: list[tuple[int, int]],
    days: list[str],
    zone: ZoneInfo,
) -> list[datetime]:
    """Return each fire time with its offset, or with the part that stays before its limit.

    The last of `ticks` is left out, since the one after it is unknown.
    """
    found = []
    for tick, following in pairwise(ticks):
        limit, minute = following, tick
        while minute < min(limit, tick + timedelta(seconds=offset) + MINUTE):
            if excluded(minute.astimezone(zone).replace(tzinfo=None), quiet, days):
                limit = minute
            minute += MINUTE
        found.append(tick + timedelta(seconds=offset) % (limit - tick))
    return found


@bounded
@given(
    st.sampled_from(RULES),
    places,
    st.one_of(st.integers(0, 130), st.integers(0, 30_000), st.integers(0, 400_000)),
    st.lists(st.sampled_from(QUIET), max_size=2, unique=True),
    st.lists(st.integers(-2, 3), max_size=2, unique=True),
    st.integers(-300_000, 300_000),
)
def test_jitter_by_the_minute(
    rule: str,
    place: tuple[str, str],
    offset: int,
    quiet: list[tuple[int, int]],
    days: list[int],
    when: int,
) -> None:
    zone, near = ZoneInfo(place[0]), datetime.fromisoformat(place[1])
    dates = [(near.astimezone(zone) + n * DAY).date().isoformat() for n in days]
    hours = [
        {"from": f"{low // 60:02}:{low % 60:02}", "to": f"{high // 60:02}:{high % 60:02}"}
        for low, high in quiet
    ]
    try:
        plain = parse(cron_expression=rule, timezone=place[0], exclude=[*hours, *dates])
    except ValueError:  # the quiet hours leave no fire time
        return
    schedule = shifted(plain, offset)
    ticks = list(plain.between(near - 12 * DAY, near + 12 * DAY))
    due = brute_force(ticks, offset, quiet, dates, zone)
    nominal = dict(zip(due, ticks, strict=False))
    assert sorted(set(due)) == due
    assert not any(excluded(t.astimezone(zone).replace(tzinfo=None), quiet, dates) for t in due)
    if not due:
        return
    assert list(schedule.between(due[0], due[-1] + MICRO)) == due
    moment = near + timedelta(seconds=when)
    if due[0] <= moment < due[-1]:
        fresh = shifted(plain, offset)
        assert fresh.after(moment) == next(tick for tick in due if tick > moment)
        assert fresh.latest(moment) == [tick for tick in due if tick <= moment][-1]
    for tick in due[:40]:
        assert schedule.latest(tick) == tick
        assert schedule.after(tick - MICRO) == tick
        assert schedule.nominal(tick) == nominal[tick]


@pytest.mark.parametrize("offset", [0, 1, 29, 30, 31, 59, 60, 61, 190, 2_678_400])
@pytest.mark.parametrize("end", ["09:05:00", "09:05:30", "09:04:00.000001", "09:00:00.5"])
def test_every_fire_time_before_the_end_stays_before_it(offset: int, end: str) -> None:
    start, before = at("2026-11-24T09:00+00:00"), at(f"2026-11-24T{end}+00:00")
    plain = parse(every=60, start_at=start, end_at=before)
    ticks, schedule = list(plain.between(start, before)), shifted(plain, offset)
    due = list(schedule.between(start, start + timedelta(days=99)))
    assert len(due) == len(ticks)
    assert all(tick <= when < before for tick, when in zip(ticks, due, strict=True))
    assert [schedule.nominal(when) for when in due] == ticks
    assert schedule.latest(before + DAY) == due[-1]
    assert schedule.after(due[-1]) is None


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_jitter_at_the_end_of_the_calendar(zone: str) -> None:
    plain = parse(
        cron_expression="0 9 * * *",
        timezone=zone,
        exclude=["9998-12-31", {"from": "22:00", "to": "23:00"}],
    )
    for offset in (40, 2_678_400):
        schedule = shifted(plain, offset)
        last = schedule.latest(datetime.max.replace(tzinfo=UTC))
        assert last
        assert schedule.after(last) is None
        assert schedule.after(last - MICRO) == last


def test_an_offset_that_fits_is_used_next_to_a_clock_change_into_an_exclusion() -> None:
    """At 01:00 UTC the clock in Berlin goes from 02:00 to 03:00, into the excluded time."""
    fields = {
        "cron_expression": "59 1 * * *",
        "timezone": "Europe/Berlin",
        "exclude": [{"from": "02:30", "to": "04:00"}],
    }
    before, change = at("2026-03-28T00:59+00:00"), at("2026-03-29T00:59+00:00")
    schedule = shifted(parse(**fields), 90)
    due = list(schedule.between(before, change + DAY / 2))
    assert due == [before + timedelta(seconds=90), change + timedelta(seconds=30)]
