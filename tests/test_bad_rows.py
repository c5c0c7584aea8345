"""A row that is not a valid job affects only itself, and its job keeps the last good version."""

import time

import pytest
from redis import Redis
from rest_server import Handler, RestServer

from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.sync.outcome import Report
from cron_tasks.sync.reconciler import Reconciler

SEVEN = '{"id": 7, "name": "x", "every": 60, "a": []}'
OTHER = '{"id": 8, "name": "x", "every": 60}'


def sync(redis: Redis, rest: RestServer, *rows: str) -> Report:
    def answer(handler: Handler) -> bool:
        handler.reply(200, f"[{', '.join(rows)}]".encode())
        return True

    rest.answer = answer
    report = Reconciler(redis, Settings(rest_url=rest.url)).sync(time.time)
    assert report is not None
    assert report.state == "ok", report.detail
    return report


def seven(rest: str) -> str:
    return f'{{"id": 7, "name": "x", "every": 60, {rest}}}'


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (seven(f'"a": {"[" * 150}{"]" * 150}'), "the row is nested more than 100 levels deep"),
        (seven(f'"a": {"[" * 5000}{"]" * 5000}'), "the row is nested more than 100 levels deep"),
        (seven(f'"a": [{"[" * 150}{"]" * 150}]'), "the row is nested more than 100 levels deep"),
        (seven('"a": ' + '{"a": ' * 3000 + "1" + "}" * 3000), "nested more than 100 levels deep"),
        (seven(f'"name": "{"x" * 5_000_000}"'), "the row is longer than 1,048,576 characters"),
        (seven(f'"name": "{"x" * 40_000_000}"'), "the row is longer than 1,048,576 characters"),
        (seven(f'"a": "{"x" * 2_000_000}"'), "the row is longer than 1,048,576 characters"),
        (seven(f'"{"x" * 2_000_000}": 1'), "the row is longer than 1,048,576 characters"),
        (seven(f'"tags": [{"1, " * 900_000}1]'), "the row is longer than 1,048,576 characters"),
        (
            seven(f'"notify": {{"on": [{"1, " * 200_000}1]}}'),
            "`notify.on`: expected at most 100 items, got 200,001",
        ),
        (seven('"every": NaN'), "`every`: 'nan' is neither seconds nor"),
        (seven('"timeout": -Infinity'), "`timeout`: expected a number of seconds"),
        (seven(f'"every": {"9" * 5000}'), "`every`: 'inf' is neither seconds nor"),
        (seven(f'"priority": {"9" * 600}'), "`priority`: expected a whole number"),
        (seven('"name": "\\ud800"'), "`name`: expected text of 1 to 1000 characters"),
        (seven('"name": "first", "name": 5'), "`name`: expected text of 1 to 1000 characters"),
    ],
)
def test_a_bad_row_with_an_id(redis: Redis, rest: RestServer, row: str, reason: str) -> None:
    sync(redis, rest, SEVEN)
    before = Registry(redis).read_index()
    for _ in range(2):  # the second time it is still news to nobody
        report = sync(redis, rest, row, OTHER)
        (rejected,) = report.changes.rejected
        assert (rejected.id, rejected.place) == ("7", "row 1")
        assert reason in rejected.errors[0]
    assert Registry(redis).read_index().items() >= before.items()
    assert Registry(redis).read_index().keys() == {"7", "8"}
    assert redis.memory_usage("cron_tasks:rejected") < 20_000


@pytest.mark.parametrize(
    "row",
    [
        *("5", "null", "true", "NaN", '"x"', "[]", '"\\ud800"', "{}", "[" * 3000 + "]" * 3000),
        *(f'{{"id": {id}, "name": "x", "every": 60}}' for id in ("NaN", "9" * 5000, '"\\ud800"')),
        f'{{"id": "{"x" * 5_000_000}", "name": "x", "every": 60}}',
    ],
)
def test_a_bad_row_without_an_id(redis: Redis, rest: RestServer, row: str) -> None:
    report = sync(redis, rest, row, OTHER)
    (rejected,) = report.changes.rejected
    assert (rejected.id, rejected.place) == (None, "row 1")
    assert Registry(redis).read_index().keys() == {"8"}


def test_a_long_collection_is_refused_before_its_items_are_looked_at() -> None:
    row = {"id": 7, "name": "x", "every": 60}
    http = {"type": "http", "url": "https://example.org"}
    for extra in (
        {"notify": {"on": ["x"] * 101}},
        {"action": http | {"expect_status": [7] * 101}},
        {"action": http | {"headers": {str(n): 1 for n in range(101)}}},
    ):
        found = validate_row(row | extra, timezone="UTC")
        assert isinstance(found, Rejected)
        assert len(found.errors) == 1
        assert "items, got" in found.errors[0]
