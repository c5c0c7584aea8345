"""Rows with changing counters describe the same jobs: nothing is written or logged."""

import time
from typing import Any

import pytest
import structlog
from redis import Redis
from rest_server import RestServer

from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

COUNT = 2500
Logs = list[dict[str, Any]]


def rows(pings: int) -> list[dict[str, Any]]:
    """Return the list of a service that keeps counters beside its jobs."""
    moving = {"n_pings": pings, "last_ping": f"2026-11-27T00:{pings:02}:00Z", "created_at": "2020"}
    job = {"name": "x", "cron_expression": "0 9 * * *"}
    nested = {"retry": {"max_attempts": 2, "n": pings}, "action": {"type": "notify", "n": pings}}
    return [{"id": number, **job, **nested, **moving} for number in range(COUNT)]


def sync(redis: Redis, rest: RestServer, listed: list[dict[str, Any]]) -> tuple[Any, Logs]:
    rest.jobs = listed
    with structlog.testing.capture_logs() as logs:
        settings = Settings(rest_url=rest.url, chat_id=100)
        report = Reconciler(redis, settings).sync(time.time)
    assert report is not None
    assert report.state == "ok"
    assert not report.not_modified
    return report.changes, [dict(line) for line in logs]


def stored(redis: Redis) -> list[Any]:
    """Return the values that a write of a job would change."""
    entries = [redis.hgetall(keys.entry_key(str(n))) for n in range(0, COUNT, 100)]
    return [redis.get(keys.EDITS), redis.hgetall(keys.JOBS), entries]


@pytest.fixture
def synced(redis: Redis, rest: RestServer) -> Logs:
    changes, logs = sync(redis, rest, rows(1))
    assert len(changes.added) == COUNT
    return logs


def test_unknown_fields_of_a_long_list_are_one_line(synced: Logs) -> None:
    (line,) = [line for line in synced if line["log_level"] == "warning"]
    assert line["event"] == "sync.unknown_fields"
    assert (line["jobs"], line["job_id"]) == (COUNT, "0")
    for name in ("n_pings", "last_ping", "created_at"):
        assert f"`{name}`" in line["warning"]


def test_counters_that_moved_write_and_log_nothing(
    redis: Redis, rest: RestServer, synced: Logs
) -> None:
    before = stored(redis)
    changes, logs = sync(redis, rest, rows(2))
    assert (changes.unchanged, bool(changes)) == (COUNT, False)
    assert logs == []
    assert stored(redis) == before


def test_an_upgrade_writes_each_job_once(redis: Redis, rest: RestServer, synced: Logs) -> None:
    """The fingerprints of the previous version covered the whole row."""
    due = redis.zrange(keys.SCHEDULE, 0, -1, withscores=True)
    older = {job_id: "old_" + text[4:] for job_id, text in Registry(redis).read_index().items()}
    redis.hset(keys.JOBS, mapping=older)
    changes, logs = sync(redis, rest, rows(2))
    assert (len(changes.changed), len(changes.added), changes.unchanged) == (COUNT, 0, 0)
    assert [line["event"] for line in logs] == ["sync.done", "sync.unknown_fields"]
    assert redis.zrange(keys.SCHEDULE, 0, -1, withscores=True) == due
    before = stored(redis)
    changes, logs = sync(redis, rest, rows(3))
    assert (changes.unchanged, logs) == (COUNT, [])
    assert stored(redis) == before
