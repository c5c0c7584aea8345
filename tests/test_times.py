"""Times as people read and write them."""

from datetime import UTC, datetime, timedelta

import pytest

from cron_tasks.schedules import parse
from cron_tasks.schedules.human import format_distance, format_local, format_runtime, parse_moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "now"),
        (3.4, "in 3 s"),
        (61, "in 1 min 1 s"),
        (7200, "in 2 h"),
        (7260, "in 2 h 1 min"),
        (90_000, "in 1 d 1 h"),
        (1001 * 86_400 + 60, "in 1,001 d"),
        (-1, "1 s ago"),
        (-11_520, "3 h 12 min ago"),
    ],
)
def test_format_distance(seconds: float, text: str) -> None:
    assert format_distance(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "<1 ms"),
        (0.0004, "<1 ms"),
        (0.001, "0.001 s"),
        (0.0021, "0.002 s"),
        (14.0, "14 s"),
        (3725.5, "1 h 2 min"),
    ],
)
def test_format_runtime(seconds: float | None, text: str) -> None:
    assert format_runtime(seconds) == text


def test_format_local() -> None:
    noon = datetime(2027, 7, 1, 12, tzinfo=UTC)
    assert format_local(noon, "Europe/Berlin") == "2027-07-01T14:00:00+02:00"
    assert format_local(noon.timestamp()) == "2027-07-01T12:00:00+00:00"
    assert format_local(None) is None


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("5M", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("PT90M", timedelta(minutes=90)),
        ("2 weeks", timedelta(days=14)),
        ("0s", timedelta(0)),
        ("now", timedelta(0)),
        ("13:30", timedelta(minutes=30)),
        ("9:00", timedelta(hours=5)),
        ("13:59:30.5", timedelta(seconds=29.5)),
        ("09:00+05:00", timedelta(hours=8)),
        ("today", timedelta(hours=14)),
        ("Yesterday", timedelta(hours=38)),
        ("yesterday 9:00", timedelta(hours=29)),
        ("tomorrow", timedelta(hours=-10)),
        ("15min", timedelta(minutes=15)),
        (" 2 h ", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
        ("PT1H30M", timedelta(minutes=90)),
        ("p1w", timedelta(days=7)),
        ("2027-07-01T13:00:00", timedelta(hours=1)),
        ("2027-07-01T13:00:00+01:00", timedelta(0)),
        ("2027-07-01", timedelta(hours=14)),
    ],
)
def test_parse_moment(text: str, ago: timedelta) -> None:
    noon = datetime(2027, 7, 1, 12, tzinfo=UTC)
    assert parse_moment(text, "Europe/Berlin", noon) == noon - ago


@pytest.mark.parametrize(
    "text",
    ["", "2", "2 months", "-2h", "P1Y", "999999999d", "noon", "PT", "25:00", "9", "yesterday noon"],
)
def test_an_invalid_moment(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text, "UTC", datetime(2027, 7, 1, tzinfo=UTC))


def test_an_invalid_moment_is_told_the_accepted_forms() -> None:
    with pytest.raises(ValueError) as raised:
        parse_moment("noon", "UTC", datetime(2027, 7, 1, tzinfo=UTC))
    assert str(raised.value) == (
        "'noon' is not an ISO 8601 time (2026-03-01T09:00), a time of today (09:00), yesterday, "
        "or a span ago (30s, 5m, 2h, 1d, 1h30m, PT90M)"
    )


@pytest.mark.parametrize(
    "span", ["30s", "5m", "5min", "5 minutes", "2h", "1d", "2w", "1h30m", "1h 30m", "PT90M", "P1W"]
)
def test_a_span_has_the_units_of_every(span: str) -> None:
    noon = datetime(2027, 7, 1, 12, tzinfo=UTC)
    ago = (noon - parse_moment(span, "UTC", noon)).total_seconds()
    assert parse(every=span).to_spec() == {"e": ago}
