"""Cron expressions and intervals as people write them, and the explanations of wrong ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_helpers import MICRO, NOW, at, faults, ticks, understood

from cron_tasks.schedules import parse

FIELDS_ARE = "(minute hour day-of-month month weekday)"
RANGE = "a rising range or a step"
WEEKDAY = f"0–7 or SUN–SAT, MON#1 to MON#5, 5L (the last Friday), {RANGE}"
BY_HAND = (
    "; a job that is only run by hand has `enabled: false` and any schedule, "
    "and `cron-tasks jobs run` runs it"
)
NO_PERIOD = (
    "is neither seconds nor an ISO 8601 duration such as PT5M"
    " (years and months have no fixed length)"
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * *", ["11-23 12:00:00", "11-23 12:20:00", "11-23 12:40:00"]),
        ("*/20 * * * * *", ["11-23 12:00:00", "11-23 12:00:20", "11-23 12:00:40"]),
        ("0 9 * * mon-fri", ["11-24 09:00:00", "11-25 09:00:00", "11-26 09:00:00"]),
        ("0 9 * jan,DEC 7", ["12-06 09:00:00", "12-13 09:00:00", "12-20 09:00:00"]),
        ("0 0 L * *", ["11-30 00:00:00", "12-31 00:00:00", "01-31 00:00:00"]),
        ("0 0 LW * *", ["11-30 00:00:00", "12-31 00:00:00", "01-29 00:00:00"]),
        ("0 0 * * 5L", ["11-27 00:00:00", "12-25 00:00:00", "01-29 00:00:00"]),
        ("0 0 * * MON#1", ["12-07 00:00:00", "01-04 00:00:00", "02-01 00:00:00"]),
        ("0 0 13 * FRI", ["11-27 00:00:00", "12-04 00:00:00", "12-11 00:00:00"]),  # either
        ("0 0 */13 * FRI", ["11-27 00:00:00", "01-01 00:00:00", "05-14 00:00:00"]),  # both
        ("@yearly", ["01-01 00:00:00"] * 3),
        ("@annually", ["01-01 00:00:00"] * 3),
        ("@monthly", ["12-01 00:00:00", "01-01 00:00:00", "02-01 00:00:00"]),
        ("@weekly", ["11-29 00:00:00", "12-06 00:00:00", "12-13 00:00:00"]),
        (" @Daily ", ["11-24 00:00:00", "11-25 00:00:00", "11-26 00:00:00"]),
        ("@midnight", ["11-24 00:00:00", "11-25 00:00:00", "11-26 00:00:00"]),
        ("@hourly", ["11-23 12:00:00", "11-23 13:00:00", "11-23 14:00:00"]),
        ("@every 1h30m", ["11-23 12:00:00", "11-23 13:30:00", "11-23 15:00:00"]),
        ("CRON_TZ=Asia/Kolkata 0 9 * * *", ["11-24 03:30:00", "11-25 03:30:00", "11-26 03:30:00"]),
        ("TZ=Asia/Kolkata @daily", ["11-23 18:30:00", "11-24 18:30:00", "11-25 18:30:00"]),
        ("0 0 29 2 *", ["02-29 00:00:00"] * 3),
        ("0 0 29 2 MON#5", ["02-29 00:00:00", "02-29 00:00:00", "02-29 00:00:00"]),
    ],
)
def test_cron_expressions(expression: str, expected: list[str]) -> None:
    assert ticks(parse(cron_expression=expression)) == expected


@pytest.mark.parametrize(
    ("expression", "messages"),
    [
        ("99 * * * *", ["minute 99 is not in 0–59"]),
        ("0 24 * * *", ["hour 24 is not in 0–23"]),
        ("61 24 0 13 8", [
            "minute 61 is not in 0–59",
            "hour 24 is not in 0–23",
            "day-of-month 0 is not in 1–31",
            "month 13 is not in 1–12",
            "weekday 8 is not in 0–7",
        ]),
        ("60 * * * * *", ["second 60 is not in 0–59"]),
        ("0 9 * * FRY", [f"weekday 'FRY' is not {WEEKDAY}; did you mean 'FRI'?"]),
        ("0 9 * sept *", [
            f"month 'SEPT' is not 1–12 or JAN–DEC, {RANGE}; did you mean 'SEP'?"
        ]),
        ("five * * * *", [f"minute 'FIVE' is not 0–59, {RANGE}"]),
        ("-1 * * * *", [f"minute '-1' is not 0–59, {RANGE}"]),
        ("0 22-4 * * *", [f"hour '22-4' is not 0–23, {RANGE}"]),
        ("*/0 * * * *", [f"minute '*/0' is not 0–59, {RANGE}"]),
        ("5,,6 * * * *", [f"minute '' is not 0–59, {RANGE}"]),
        ("0 0 15W * *", [
            "day-of-month '15W' is not 1–31, L (the last), LW (the last from Monday to Friday),"
            f" {RANGE}"
        ]),
        ("0 0 * * L", [f"weekday 'L' is not {WEEKDAY}"]),
        ("0 0 * * MON#6", [f"weekday 'MON#6' is not {WEEKDAY}"]),
        ("0 0 31 2 *", [
            "no date has day-of-month '31', month '2' and weekday '*': the expression never fires"
            + BY_HAND
        ]),
        ("0 0 */30 2 MON#5", [
            "no date has day-of-month '*/30', month '2' and weekday 'MON#5':"
            " the expression never fires" + BY_HAND
        ]),
        ("* * * *", [f"has 4 fields; expected 5 {FIELDS_ARE} or 6 (second first)"]),
        ("9", [f"has 1 field; expected 5 {FIELDS_ARE} or 6 (second first)"]),
        ("@dayly", ["unknown nickname '@dayly'; did you mean '@daily'?"]),
        ("@reboot", ["unknown nickname '@reboot'"]),
        ("@every soon", [f"'soon' {NO_PERIOD}"]),
        ("0 9 * * * TZ=UTC", [f"weekday 'TZ=UTC' is not {WEEKDAY}"]),
        ("TZ=Europe/Berln 0 9 * * *", [
            "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"
        ]),
        ("0 " * 600, ["is longer than 1,000 characters"]),
        ("9" * 990 + " * * * *", ["minute a huge number is not in 0–59"]),
    ],
)  # fmt: skip
def test_faults_of_cron_expressions(expression: str, messages: list[str]) -> None:
    assert faults(cron_expression=expression) == [("cron_expression", text) for text in messages]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text("0123456789*/-,#LW?MONFRIJAN ", max_size=6), min_size=5, max_size=6))
def test_every_expression_is_understood_or_explained(parts: list[str]) -> None:
    """Every fault is explained, and an accepted schedule can be described and asked."""
    schedule = understood(cron_expression=" ".join(parts))
    if schedule:
        assert schedule.describe()
        assert schedule.after(NOW)


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        (300, 300), (1.5, 1.5), ("300", 300), (" 2.5 ", 2.5), (0.1 + 0.2 + 1, 1.3),
        ("PT5M", 300), ("pt1h30m", 5400), ("P1D", 86400), ("P1W", 604800), ("P1DT12H", 129600),
        ("PT1.5S", 1.5), ("PT0,5H", 1800), ("5m", 300), ("1h30m10s", 5410), ("P36525D", 3155760000),
    ],
)  # fmt: skip
def test_every(every: Any, seconds: float) -> None:
    schedule = parse(every=every)
    assert schedule.to_spec() == {"e": seconds}
    tick = schedule.after(NOW)
    assert tick
    assert (tick - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=seconds) == timedelta()
    assert schedule.latest(NOW) == tick - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("every", "message"),
    [
        (0.5, "0.5 is not between 1 second and 100 years"),
        (0, "0 is not between 1 second and 100 years"),
        (-5, "-5 is not between 1 second and 100 years"),
        (float("nan"), "nan is not between 1 second and 100 years"),
        (float("inf"), "inf is not between 1 second and 100 years"),
        (1e300, "1e+300 is not between 1 second and 100 years"),
        pytest.param(
            10**9999,
            "a huge number is not between 1 second and 100 years",
            id="huge",
        ),
        (True, f"True {NO_PERIOD}"),
        ([5], f"'[5]' {NO_PERIOD}"),
        ("PT", f"'PT' {NO_PERIOD}"),
        ("-PT5M", f"'-PT5M' {NO_PERIOD}"),
        ("1e3", f"'1e3' {NO_PERIOD}"),
        ("P1M", f"'P1M' {NO_PERIOD}"),
        ("P1Y2DT3H", f"'P1Y2DT3H' {NO_PERIOD}"),
    ],
)  # fmt: skip
def test_faults_of_every(every: Any, message: str) -> None:
    assert faults(every=every) == [("every", message)]


def test_intervals_are_in_phase_with_their_start() -> None:
    schedule = parse(every=7.25, start_at="2026-11-23T12:00:01")
    assert ticks(schedule) == ["11-23 12:00:01", "11-23 12:00:08", "11-23 12:00:15"]
    far = at("2026-11-23T12:00:01+00:00") + 10**8 * timedelta(seconds=7.25)
    assert schedule.after(far - MICRO) == far
    assert schedule.latest(far) == far
    assert schedule.latest(at("2026-11-23T12:00:00+00:00")) is None
