"""The stored form is small, quick, equal when read back, and invalid text does not break its
reader."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_helpers import NOW, ticks, understood

from cron_tasks.schedules import ScheduleError, from_spec, parse


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"cron_expression": "0 9 * * *"}, {"c": "0 9 * * *"}),
        ({"cron_expression": " 0  9 * * mon ", "timezone": "Europe/Berlin"},
         {"c": "0 9 * * MON", "z": "Europe/Berlin"}),
        ({"cron_expression": "TZ=Asia/Kolkata @daily", "timezone": "Europe/Berlin"},
         {"c": "0 0 * * *", "z": "Asia/Kolkata"}),
        ({"cron_expression": "@every 5m"}, {"e": 300}),
        ({"every": 2.5, "start_at": "2026-01-01T01:00+01:00"},
         {"e": 2.5, "s": "2026-01-01T00:00:00Z"}),
        ({"rrule": "DTSTART:08880229T090000Z\nRRULE:FREQ=YEARLY"},
         {"r": "DTSTART:08880229T090000\nRRULE:FREQ=YEARLY"}),
        ({"run_at": datetime(2026, 12, 24, 18), "timezone": "Europe/Berlin"},
         {"t": "2026-12-24T17:00:00Z", "z": "Europe/Berlin"}),
        ({"rrule": "rrule:freq=daily;", "start_at": "2026-01-01T09:00"},
         {"r": "FREQ=DAILY", "s": "2026-01-01T09:00:00Z"}),
        ({"every": 60, "end_at": "2026-01-01",
          "exclude": [{"from": "22:00", "to": "06:00"}, "2025-12-24"],
          "jitter": 299, "identity": "7"},
         {"e": 60, "u": "2026-01-02T00:00:00Z", "x": ["2025-12-24", "22:00/06:00"], "j": 190}),
    ],
)  # fmt: skip
def test_a_spec_is_small_and_reads_back_equal(fields: dict[str, Any], spec: dict[str, Any]) -> None:
    schedule = parse(**fields)
    assert schedule.to_spec() == spec
    again = from_spec(json.loads(json.dumps(schedule.to_spec())))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.timezone == schedule.timezone == spec.get("z", "UTC")
    assert again.describe() == schedule.describe()
    assert ticks(again) == ticks(schedule)
    assert schedule != parse(every=61)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
LIKELY = st.sampled_from(["0 9 * * *", "FREQ=DAILY", "2026-01-01", "UTC", "P1M", 10**400, 1e308])
KEYS = st.sampled_from("cetrzsuxj")
JSON = st.recursive(
    SCALARS | LIKELY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)
GARBAGE: list[Any] = [
    None,
    [],
    "c",
    {},
    {5: "c"},
    {("c",): "* * * * *"},
    {"c": "* * * * *", "e": 5},
    {"c": "99 * * * *"},
    {"c": "* * *"},
    {"c": 5},
    {"c": []},
    {"c": "9" * 5000 + " * * * *"},
    {"c": "\ud800 * * * *"},
    {"e": True},
    {"e": 10**400},
    {"e": float("nan")},
    {"e": 0},
    {"t": "soon"},
    {"t": "9999-12-31T23:59:59Z"},
    {"r": "FREQ=DAILY"},
    {"r": ""},
    {"r": "DTSTART:00010101T000000\nRRULE:FREQ=WEEKLY"},
    {"r": "DTSTART:\nFREQ=DAILY"},
    {"r": "FREQ=SECONDLY;INTERVAL=99999999999", "s": "2026-01-01T00:00:00Z"},
]
FRAMES: list[dict[str, Any]] = [
    {"z": "Mars"}, {"z": ""}, {"z": "\ud800"}, {"z": "a\0b"}, {"z": "x" * 9999}, {"z": 5},
    {"z": "right/UTC"}, {"z": "localtime"}, {"s": 5}, {"s": "\ud800"}, {"u": "never"}, {"j": -1},
    {"j": 10**99}, {"j": 1.5}, {"x": [5]}, {"x": ["25:00/26:00"]}, {"x": "2026-01-01"},
    {"q": 1},
]  # fmt: skip


@pytest.mark.parametrize(
    "spec", GARBAGE + [{"c": "* * * * *"} | frame for frame in FRAMES], ids=ascii
)
def test_garbage_is_rejected(spec: Any) -> None:
    with pytest.raises(ScheduleError) as error:
        from_spec(spec)
    assert all(field and message for field, message in error.value.errors)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from("cetrzsuxj"), JSON, max_size=4) | JSON)
def test_any_json_gives_a_schedule_or_a_schedule_error(spec: Any) -> None:
    try:
        schedule = from_spec(spec)
    except ScheduleError:
        return
    schedule.after(NOW)
    schedule.latest(NOW)
    assert from_spec(schedule.to_spec()) == schedule


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from(sorted(parse.__kwdefaults__ or ())), JSON, max_size=4))
def test_any_json_in_the_fields_is_parsed_or_explained(fields: dict[str, Any]) -> None:
    understood(**fields)


def test_jobs_with_one_expression_share_one_answer() -> None:
    """The bounds are a tenth of what was measured. They catch a lost cache, not a slow machine."""
    spec = parse(
        cron_expression="17 3 * * SUN", timezone="Europe/Berlin", jitter=600, identity="7"
    ).to_spec()
    started = time.thread_time()
    for microsecond in range(10_000):
        from_spec(spec).after(NOW + timedelta(microseconds=microsecond))
    assert time.thread_time() - started < 1
