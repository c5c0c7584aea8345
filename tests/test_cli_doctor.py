"""`cron-tasks doctor` finds the faults, explains how to fix them, and never hangs."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Quick
from helpers import PATIENCE, free_port, wait_until
from processes import Celery, Valkey
from redis import Redis
from rest_server import RestServer, reply, silent, status

from cron_tasks.health import service_checks
from cron_tasks.health.checks import CHECKS, run_check
from cron_tasks.health.system import System
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.repair.comparison import Comparison
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.sync.reconciler import Reconciler

PLANTS = {"id": 7, "name": "Water the plants", "cron_expression": "0 9 * * *"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare all keys, however busy the machine is."""
    monkeypatch.setattr(service_checks, "COMPARED_FOR", PATIENCE)


@pytest.fixture
def configured(redis: Redis) -> Iterator[Callable[[str, str], None]]:
    """Change a setting of the shared Valkey, and restore it after the test."""
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        before.update(redis.config_get(name))
        redis.config_set(name, value)

    yield change
    for name, value in before.items():
        redis.config_set(name, value)


def sync(system: System, *rows: object) -> None:
    with RestServer(rows) as rest:
        settings = system.settings.model_copy(update={"rest_url": rest.url})
        Reconciler(system.redis, settings).sync(time.time)


def status_of(system: System, check: str) -> tuple[str, str]:
    """Return status and detail of one check, which gives advice unless it is ok."""
    found = run_check(check, system)
    assert bool(found.mend) == (found.status != "ok")
    return found.status, found.detail


def test_a_running_system_passes_every_check(
    cli: CommandLine, redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [PLANTS]
    celery.worker().wait_for("ready")
    celery.beat()
    wait_until(lambda: redis.exists(keys.JOBS), "the first sync")
    findings: dict[str, Any] = {}

    def is_well() -> bool:
        rows = json.loads(cli.attempt("doctor", "--json", CHAT_ID="100").stdout)
        findings.update({row["check"]: row for row in rows})
        return {row["status"] for row in rows} == {"ok"}

    # The sync has yet to end, and on a busy machine an answer of the worker may be late.
    wait_until(is_well, "every check to pass")
    assert findings.keys() == {"settings", *CHECKS}
    assert findings["workers"]["detail"] == "1 worker is running; queues: cron_tasks"
    assert findings["rest service"]["detail"] == "1 row"


def test_a_system_without_beat_and_workers_fails(cli: CommandLine, rest: RestServer) -> None:
    rest.jobs = [PLANTS]
    lines = cli.lines("doctor", code=1, REST_TOEKN="x")
    found = {line[6:23].rstrip(): line for line in lines if line[0] != " "}
    assert found["settings"].startswith("warn  settings           CRON_TASKS_REST_TOEKN")
    assert found["redis"].startswith("ok    redis              Valkey 9")
    assert found["beat"].startswith("fail  beat               No beat is leading")
    mend = lines[lines.index(found["beat"]) + 1]
    assert mend.strip() == "Start one with `celery -A cron_tasks beat`, or read its log"
    assert found["workers"].startswith("fail  workers            No worker of cron_tasks answers")
    assert found["last sync"].startswith("fail  last sync          No sync has run yet")


def test_without_redis_the_rest_service_is_still_checked(quick: Quick) -> None:
    rows = quick.json("doctor", code=1, REDIS_URL=f"redis://:hush@127.0.0.1:{free_port()}/0")
    found = {row["check"]: row for row in rows}
    assert found.keys() == {"settings", "redis", "rest service"}
    assert (found["redis"]["status"], found["rest service"]["status"]) == ("fail", "ok")
    assert ":***@" in found["redis"]["detail"]
    assert found["redis"]["mend"]


def test_a_frozen_redis_and_a_silent_service_are_reported_within_seconds(
    quick: Quick, rest: RestServer, tmp_path: Path
) -> None:
    rest.answer = silent()
    frozen = Valkey(tmp_path)
    began = time.monotonic()
    try:
        frozen.freeze()
        rows = quick.json("doctor", code=1, REDIS_URL=frozen.url, REST_DEADLINE="1")
    finally:
        frozen.stop()
    assert time.monotonic() - began < PATIENCE
    assert [row["status"] for row in rows] == ["ok", "fail", "fail"]
    assert "Timeout" in rows[1]["detail"]
    late = "The service did not return its list within 5 s. Current jobs stay unchanged"
    assert rows[2]["mend"] == late


def test_a_list_that_is_not_whole_is_not_called_late(system: System, rest: RestServer) -> None:
    rest.answer = reply(200, b'{"jobs": [], "summary": {"total": 6}}')
    found = run_check("rest service", system)
    assert "0 of 6 jobs arrived; where is the next page? Set CRON_TASKS_REST_" in found.detail
    assert found.mend == "Current jobs stay unchanged"


def test_wrong_settings_end_the_checks(cli: CommandLine, quick: Quick) -> None:
    rows = quick.json("doctor", code=1, TIMEZONE="Mars", SHRINK_LIMIT="7")
    assert [row["check"] for row in rows] == ["settings", "settings"]
    assert {row["detail"].split()[0] for row in rows} == {
        "CRON_TASKS_TIMEZONE",
        "CRON_TASKS_SHRINK_LIMIT",
    }
    assert "\x1b[31mfail" in cli.on_terminal("doctor", CRON_TASKS_TIMEZONE="Mars")


@pytest.mark.parametrize(
    ("check", "name", "value", "status", "detail"),
    [
        ("redis eviction", "maxmemory-policy", "allkeys-lru", "fail", "allkeys-lru: "),
        ("redis persistence", "appendonly", "no", "warn", "AOF is off"),
        (
            "redis memory",
            "hash-max-listpack-value",
            "64",
            "warn",
            "hash-max-listpack-value is 64: a job takes 910 bytes instead of 700",
        ),
    ],
)
def test_a_redis_that_loses_things(
    system: System,
    configured: Callable[[str, str], None],
    check: str,
    name: str,
    value: str,
    status: str,
    detail: str,
) -> None:
    assert status_of(system, check)[0] == "ok"
    configured(name, value)
    found = status_of(System(system.settings, system.redis, system.now), check)
    assert found[0] == status
    assert found[1].startswith(detail)


def test_a_read_only_replica_fails(system: System, tmp_path: Path) -> None:
    replica = Valkey(tmp_path)
    try:
        with connect(replica.url) as redis:
            redis.replicaof("127.0.0.1", free_port())
            found = status_of(System(system.settings, redis, 0), "redis")
    finally:
        replica.stop()
    assert (found[0], "read-only replica" in found[1]) == ("fail", True)


def test_the_rest_service(system: System, rest: RestServer) -> None:
    rest.jobs = [PLANTS, PLANTS]
    assert status_of(system, "rest service") == ("ok", "2 rows")
    sync(system, PLANTS, PLANTS)
    assert status_of(system, "rows") == ("warn", "1 row rejected by the last sync")
    rest.jobs = []
    assert status_of(system, "rest service")[1] == "0 rows; the list is empty but 1 jobs are known"
    assert "sync --force" in run_check("rest service", system).mend
    rest.answer = status(401)
    assert "CRON_TASKS_REST_TOKEN" in status_of(system, "rest service")[1]


def test_the_last_sync(system: System, rest: RestServer) -> None:
    reconciler = Reconciler(system.redis, system.settings)
    assert status_of(system, "last sync") == ("fail", "No sync has run yet")
    rest.jobs = [PLANTS]
    reconciler.sync(time.time)
    system.now = float(system.redis.hget(keys.SOURCE, "last_success") or 0)
    assert status_of(system, "last sync")[0] == "ok"
    system.now += 3600
    assert status_of(system, "last sync") == ("fail", "The last sync succeeded 1 h ago")
    rest.jobs = []
    reconciler.sync(time.time)
    assert status_of(system, "last sync")[1].startswith("refused for ")


def test_what_beat_and_workers_left_undone(system: System) -> None:
    redis = system.redis
    assert status_of(system, "beat")[0] == "fail"
    redis.set(keys.LEADER_LOCK, "somebody", ex=60)
    assert status_of(system, "beat")[0] == "ok"
    sync(system, PLANTS)
    for check, detail in (
        ("schedule", "No jobs overdue"),
        ("open ticks", "No open ticks past the deadline"),
        ("entries", "No entries in quarantine"),
        ("messages", "No undeliverable messages"),
    ):
        assert status_of(system, check) == ("ok", detail)
    redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): system.now - 90})
    Ledger(redis, Settings()).open([RunId.stored("7@2026-11-23T09:00:00Z")], system.now - 60)
    redis.hset(keys.SET_ASIDE, keys.entry_key("7"), "broken")
    redis.rpush(keys.UNDELIVERABLE, "queue {}")
    redis.expire(keys.UNDELIVERABLE, 60)
    assert status_of(system, "schedule") == ("fail", "1 job overdue")
    assert status_of(system, "open ticks") == ("fail", "1 open tick past the deadline")
    assert status_of(system, "entries") == ("fail", "1 entry in quarantine")
    assert status_of(system, "messages") == ("warn", "1 undeliverable message")


def test_keys_that_disagree(system: System) -> None:
    sync(system, PLANTS)
    assert status_of(system, "registry") == ("ok", "Jobs, schedule and open ticks agree")
    system.redis.delete(keys.SCHEDULE)
    system.redis.hset(keys.OPEN, "7@2026-11-23T09:00:00Z", "p|1||")
    status, detail = status_of(system, "registry")
    assert status == "fail"
    assert "1 job with a next tick, but not in the schedule" in detail
    assert "1 open tick without a deadline" in detail
    Comparison(system.redis, system.settings, time.time).mend()
    status, detail = status_of(system, "registry")
    assert (status, "2 differences repaired" in detail) == ("ok", True)


def test_two_installations_in_one_redis(system: System) -> None:
    sync(system, PLANTS)
    status, detail = status_of(system, "owner")
    assert status == "fail"
    assert "Redis holds the jobs of http://127.0.0.1:" in detail
    assert f"this installation reads {system.settings.rest_url}" in detail
    system.redis.hset(keys.SOURCE, "owner", f"{system.settings.rest_url}/api/cronjobs/")
    assert status_of(system, "owner")[0] == "ok"
    sync(system, PLANTS)
    status, detail = status_of(system, "owner")
    assert (status, "but another installation reads" in detail) == ("fail", True)
