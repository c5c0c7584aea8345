"""Rows that are alike are validated once or twice, with the same outcome as separate validation."""

from typing import Any

import pytest

from cron_tasks.jobs.alike import Alike
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.row import row_id
from cron_tasks.jobs.validation import validate_row

SETTINGS: list[dict[str, Any]] = [
    {"every": 60},
    {"every": 60.0},
    {"every": "60"},
    {"every": True},
    {"every": 1},
    {"every": 60, "enabled": 1},
    {"every": 60, "enabled": True},
    {"every": 60, "enabled": False},
    {"every": 60, "priority": None},
    {"every": 60, "chat_id": float("nan")},
    {"every": 60, "jitter": 600},
    {"every": 60, "jitter": None},
    {"every": 60, "last_run_at": "2026-01-01T00:00:00Z"},
    {"every": 60, "notify": {"on": ["failure"], "queue": "bot"}, "queue": "slow"},
    {"every": 60, "notify": {"on": None}},
    {"every": 60, "unknown": {"a": [1, 2]}},
    {"every": 60, "action": {"type": "http", "url": "http://x/\u00fc"}},
    {"cron_expression": "0 9 * * *", "tags": ["a", "b"]},
    {"cron_expression": "0  9 * * *"},
    {"cron_expression": "?"},
]
NAMES: list[Any] = ["x", "", None, 5, "\ud800", 'a"\\\u0000b\u0001', "\u00fc" * 1000, "x" * 1001]


def validate(row: Any, place: str) -> Job | Rejected:
    return validate_row(row, timezone="UTC", place=place)


@pytest.mark.parametrize("name", NAMES)
def test_each_row_has_the_outcome_that_it_has_by_itself(name: Any) -> None:
    alike = Alike(validate, lambda job: job.enabled)
    ids: list[Any] = [1, "1", "\u00fc", '"\\', True, None, "", 2, 3]
    for number in ids:
        for settings in SETTINGS:
            row = {"id": number, "name": name, **settings}
            alone, found = validate(row, "row 1"), alike.read_row(row, row_id(row), "row 1")
            if isinstance(alone, Rejected):
                assert repr(found) == repr(alone)
            else:
                assert not isinstance(found, Rejected)
                assert found.document == alone.to_document()
                assert found.remark == alone.enabled


def test_rows_that_are_alike_are_validated_twice() -> None:
    seen = list[Any]()
    alike = Alike(lambda row, place: (seen.append(row["id"]), validate(row, place))[1])
    for number in range(10):
        alike.read_row({"id": number, "name": f"job {number}", "every": 60}, str(number), "")
    assert seen == [0, 1]
