"""Fire times around real clock changes, written by hand. Each table opens with the change."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from cron_tasks.schedules import Schedule, parse


@dataclass
class Table:
    zone: str
    change: str  # "wall time and offset just before -> just after", at `at`; "" for none
    at: str
    window: tuple[str, str]
    ticks: dict[str, str]  # expression, RRULE or duration -> times of the window, in UTC


TABLES = [
    Table(
        zone="Europe/Berlin",
        change="02:00 +01:00 -> 03:00 +02:00",
        at="2026-03-29T01:00Z",
        window=("2026-03-28T23:00Z", "2026-03-29T04:00Z"),  # 00:00 to 06:00 on the wall
        ticks={
            "30 2 * * *": "01:00",
            "0 30 2 * * *": "01:00",
            "0 3 * * *": "01:00",
            "0,30 2,3 * * *": "01:00 01:30",
            "30 * * * *": "23:30 00:30 01:30 02:30 03:30",
            "*/30 2 * * *": "",
            "0/30 2 * * *": "01:00",
            "0-30/30 2 * * *": "01:00",
            "*/30 1-3 * * *": "00:00 00:30 01:00 01:30",
            "0-30/30 1-3 * * *": "00:00 00:30 01:00 01:30",
            "0 */2 * * *": "23:00 02:00",
            "0 0-23/2 * * *": "23:00 01:00 02:00",
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=15,30": "01:00",
            "FREQ=HOURLY": "23:00 00:00 01:00 02:00 03:00",
            "PT2H": "00:00 02:00",
        },
    ),
    Table(
        zone="Europe/Berlin",
        change="03:00 +02:00 -> 02:00 +01:00",
        at="2026-10-25T01:00Z",
        window=("2026-10-24T22:00Z", "2026-10-25T05:00Z"),
        ticks={
            "30 2 * * *": "00:30",
            "0 30 2 * * *": "00:30",
            "0 3 * * *": "02:00",
            "30 * * * *": "22:30 23:30 00:30 01:30 02:30 03:30 04:30",
            "*/30 2 * * *": "00:00 00:30 01:00 01:30",
            "0/30 2 * * *": "00:00 00:30",
            "0-30/30 2 * * *": "00:00 00:30",
            "*/30 1-3 * * *": "23:00 23:30 00:00 00:30 01:00 01:30 02:00 02:30",
            "0-30/30 1-3 * * *": "23:00 23:30 00:00 00:30 02:00 02:30",
            "0 */2 * * *": "22:00 00:00 01:00 03:00",
            "0 0-23/2 * * *": "22:00 00:00 03:00",
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=15,30": "00:15 00:30",
            "FREQ=HOURLY": "22:00 23:00 00:00 02:00 03:00 04:00",
            "PT2H": "22:00 00:00 02:00 04:00",
        },
    ),
    Table(
        zone="America/New_York",
        change="02:00 -05:00 -> 03:00 -04:00",
        at="2026-03-08T07:00Z",
        window=("2026-03-08T05:00Z", "2026-03-08T10:00Z"),
        ticks={
            "59 1 * * *": "06:59",
            "0 2 * * *": "07:00",
            "30 2 * * *": "07:00",
            "30 2 * * MON": "",
            "@hourly": "05:00 06:00 07:00 08:00 09:00",
            "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2": "07:00",
        },
    ),
    Table(
        zone="America/New_York",
        change="02:00 -04:00 -> 01:00 -05:00",
        at="2026-11-01T06:00Z",
        window=("2026-11-01T04:00Z", "2026-11-01T09:00Z"),
        ticks={
            "30 1 * * *": "05:30",
            "0 2 * * *": "07:00",
            "0 1,2 * * *": "05:00 07:00",
            "0 * * * *": "04:00 05:00 06:00 07:00 08:00",
            "*/20 1 * * *": "05:00 05:20 05:40 06:00 06:20 06:40",
            "0-40/20 1 * * *": "05:00 05:20 05:40",
            "FREQ=WEEKLY;BYDAY=SU;BYHOUR=1": "05:00",
        },
    ),
    Table(
        zone="Australia/Lord_Howe",
        change="02:00 +10:30 -> 02:30 +11:00",
        at="2026-10-03T15:30Z",
        window=("2026-10-03T14:30Z", "2026-10-03T17:00Z"),
        ticks={
            "15 2 * * *": "15:30",
            "45 2 * * *": "15:45",
            "15,45 1-2 * * *": "14:45 15:15 15:30 15:45",
            "*/15 2 * * *": "15:30 15:45",
            "0/15 2 * * *": "15:30 15:45",
            "15 * * * *": "14:45 16:15",
            "*/30 * * * *": "14:30 15:00 15:30 16:00 16:30",
        },
    ),
    Table(
        zone="Australia/Lord_Howe",
        change="02:00 +11:00 -> 01:30 +10:30",
        at="2026-04-04T15:00Z",
        window=("2026-04-04T14:00Z", "2026-04-04T16:30Z"),
        ticks={
            "15 1 * * *": "14:15",
            "45 1 * * *": "14:45",
            "45 * * * *": "14:45 15:15 16:15",
            "*/30 * * * *": "14:00 14:30 15:00 15:30 16:00",
            "FREQ=DAILY;BYHOUR=1,2;BYMINUTE=45": "14:45 16:15",
        },
    ),
    Table(
        zone="America/Havana",
        change="00:00 -05:00 -> 01:00 -04:00",
        at="2026-03-08T05:00Z",
        window=("2026-03-08T04:00Z", "2026-03-08T07:00Z"),
        ticks={
            "@daily": "05:00",
            "30 0 * * *": "05:00",
            "30 0 * * SUN": "05:00",
            "59 23 * * SAT": "04:59",
            "30 * * * *": "04:30 05:30 06:30",
            "*/30 0 * * SUN": "",
            "FREQ=DAILY;BYHOUR=0": "05:00",
        },
    ),
    Table(
        zone="America/Havana",
        change="01:00 -04:00 -> 00:00 -05:00",
        at="2026-11-01T05:00Z",
        window=("2026-11-01T03:00Z", "2026-11-01T07:00Z"),
        ticks={
            "@daily": "04:00",
            "30 0 1 * *": "04:30",
            "59 23 * * *": "03:59",
            "*/30 0 * * *": "04:00 04:30 05:00 05:30",
            "0 1 * * *": "06:00",
        },
    ),
    Table(
        zone="America/Santiago",
        change="00:00 -03:00 -> 23:00 -04:00",  # Saturday has 25 hours
        at="2026-04-05T03:00Z",
        window=("2026-04-05T01:00Z", "2026-04-05T05:00Z"),
        ticks={
            "30 23 * * *": "02:30",
            "30 23 * * SAT": "02:30",
            "@midnight": "04:00",
            "30 * * * *": "01:30 02:30 03:30 04:30",
        },
    ),
    Table(
        zone="Australia/Sydney",
        change="02:00 +10:00 -> 03:00 +11:00",
        at="2026-10-03T16:00Z",
        window=("2026-10-03T14:00Z", "2026-10-03T18:00Z"),
        ticks={
            "30 2 * * *": "16:00",
            "30 3 4 10 *": "16:30",
            "0 */2 * * *": "14:00 17:00",
        },
    ),
    Table(
        zone="Australia/Sydney",
        change="03:00 +11:00 -> 02:00 +10:00",
        at="2026-04-04T16:00Z",
        window=("2026-04-04T13:00Z", "2026-04-04T18:00Z"),
        ticks={
            "30 2 * * *": "15:30",
            "0 3 * * *": "17:00",
            "0 */2 * * *": "13:00 15:00 16:00",
        },
    ),
    Table(
        zone="Pacific/Apia",
        change="00:00 -10:00 -> 00:00 +14:00",  # 30 December 2011 was left out
        at="2011-12-30T10:00Z",
        window=("2011-12-29T10:00Z", "2011-12-31T10:00Z"),
        ticks={
            "0 9 * * *": "19:00 10:00 19:00",
            "0 9 29-31 12 *": "19:00 10:00 19:00",
            "* 9 30 12 *": "",
        },
    ),
    Table(
        zone="Asia/Kolkata",
        change="",
        at="2026-03-29T01:00Z",
        window=("2026-03-28T18:30Z", "2026-03-29T18:30Z"),
        ticks={"30 2 * * *": "21:00", "0 */8 * * *": "18:30 02:30 10:30"},
    ),
    Table(
        zone="UTC",
        change="",
        at="2026-03-29T01:00Z",
        window=("2026-03-29T00:00Z", "2026-03-30T00:00Z"),
        ticks={"30 2 * * *": "02:30", "59 59 23 * * *": "23:59:59"},
    ),
]
CASES = [
    pytest.param(table, expression, id=f"{table.zone} {table.at} {expression}")
    for table in TABLES
    for expression in table.ticks
]


def schedule(expression: str, zone: str) -> Schedule:
    if expression.startswith("FREQ"):
        return parse(rrule=expression, start_at="2010-01-01T00:00", timezone=zone)
    if expression.startswith("PT"):
        return parse(every=expression, timezone=zone)
    return parse(cron_expression=expression, timezone=zone)


def bounds(table: Table) -> tuple[datetime, datetime]:
    start, end = table.window
    return datetime.fromisoformat(start), datetime.fromisoformat(end)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.zone} {table.at}")
def test_the_tz_database_knows_the_change(table: Table) -> None:
    at = datetime.fromisoformat(table.at).astimezone(ZoneInfo(table.zone))
    before = (at.astimezone(UTC) - timedelta(seconds=1)).astimezone(at.tzinfo)
    ends = before.replace(tzinfo=None) + timedelta(seconds=1)
    offsets = [str(moment.isoformat())[-6:] for moment in (before, at)]
    told = f"{ends:%H:%M} {offsets[0]} -> {at:%H:%M} {offsets[1]}"
    assert told == table.change or (not table.change and offsets[0] == offsets[1])


@pytest.mark.parametrize(("table", "expression"), CASES)
def test_fire_times_of_the_day_forwards(table: Table, expression: str) -> None:
    start, end = bounds(table)
    found = list(schedule(expression, table.zone).between(start, end))
    precision = "%H:%M:%S" if any(tick.second for tick in found) else "%H:%M"
    assert " ".join(tick.strftime(precision) for tick in found) == table.ticks[expression]


@pytest.mark.parametrize(("table", "expression"), CASES)
def test_fire_times_of_the_day_backwards(table: Table, expression: str) -> None:
    start, end = bounds(table)
    ticks = schedule(expression, table.zone)
    expected = list(ticks.between(start, end))
    found, when = [], end - timedelta(microseconds=1)
    while (tick := ticks.latest(when)) and tick >= start:
        found.append(tick)
        when = tick - timedelta(microseconds=1)
    assert found == expected[::-1]


@pytest.mark.parametrize(
    ("run_at", "expected"),
    [
        ("2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
        ("2026-03-29T02:30", "2026-03-29T01:00Z"),  # in the gap: at its end
        ("2026-03-29T03:00", "2026-03-29T01:00Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30Z"),  # twice: the first
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30Z"),
    ],
)
def test_run_at_follows_the_rules_of_cron(run_at: str, expected: str) -> None:
    once = parse(run_at=run_at, timezone="Europe/Berlin")
    moment = datetime.fromisoformat(expected)
    assert once.after(moment - timedelta(microseconds=1)) == moment
    assert once.after(moment) is None
    assert once.latest(moment) == moment
    assert once.latest(moment - timedelta(microseconds=1)) is None


def test_over_a_year_hourly_jobs_never_pause_and_daily_jobs_fire_once_a_day() -> None:
    """A pause may last 90 minutes: Lord Howe's half-hour gap swallows one fire time."""
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    for zone in {table.zone for table in TABLES}:
        hourly = list(parse(cron_expression="0 * * * *", timezone=zone).between(*year))
        steps = {later - earlier for earlier, later in pairwise(hourly)}
        assert max(steps) <= timedelta(minutes=90), zone
        daily = parse(cron_expression="30 2 * * *", timezone=zone).between(*year)
        assert len({tick.astimezone(ZoneInfo(zone)).date() for tick in daily}) == 365, zone
