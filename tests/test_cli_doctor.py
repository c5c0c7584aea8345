"""`cron-tasks doctor`: what is right, what is broken and how to mend it, and never a hang."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import CommandLine, Quick
from helpers import free_port, wait_until
from processes import Celery, Valkey
from redis import Redis
from rest_server import RestServer, silent, status

from cron_tasks import names
from cron_tasks.cli.checks import Finding, System, server, service, work
from cron_tasks.ledger import Ledger
from cron_tasks.redis_client import connect
from cron_tasks.settings import Settings
from cron_tasks.sync import Reconciler

PLANTS = {"id": 7, "name": "Water the plants", "cron_expression": "0 9 * * *"}


@pytest.fixture
def cli(redis_url: str, rest: RestServer, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, REDIS_URL=redis_url, REST_URL=rest.url)


@pytest.fixture
def quick(cli: CommandLine) -> Quick:
    return Quick(cli.folder, **cli.settings)


@pytest.fixture
def system(redis: Redis, redis_url: str, rest: RestServer) -> System:
    settings = Settings(redis_url=redis_url, rest_url=rest.url)
    return System(settings, redis, time.time())


@pytest.fixture
def configured(redis: Redis) -> Iterator[Callable[[str, str], None]]:
    """Changes a setting of the shared Valkey; it is as before after the test."""
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


def test_a_running_system_is_sound_until_a_job_names_another_queue(
    cli: CommandLine, redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [PLANTS]
    celery.worker().wait_for("ready")
    celery.beat()
    wait_until(lambda: redis.exists(names.JOBS), "the first sync")
    findings = {row["check"]: row for row in cli.json("doctor", CHAT_ID="1")}
    assert {row["status"] for row in findings.values()} == {"ok"}, findings
    assert findings["workers"]["detail"] == "1 answers, consuming celery"
    assert findings["rest service"]["detail"] == "1 rows"
    rest.jobs = [{**PLANTS, "queue": "slow"}]
    redis.lpush(names.POKE, "*")
    wait_until(lambda: "slow" in redis.hget(names.entry_key("7"), "definition"), "the next sync")
    found = {row["check"]: row for row in cli.json("doctor", code=1)}["workers"]
    assert found["detail"] == "1 answers, but none takes from slow"
    assert found["mend"] == "`celery -A cron_tasks worker -Q slow`"


def test_a_system_that_stands_still(cli: CommandLine, rest: RestServer) -> None:
    rest.jobs = [PLANTS]
    done = cli.run("doctor", code=1, REST_TOEKN="x")
    found = {line[6:23].rstrip(): line for line in done.stdout.splitlines()}
    assert found["settings"].startswith("warn  settings           CRON_TASKS_REST_TOEKN")
    assert found["redis"].startswith("ok    redis              Valkey 9")
    assert found["beat"].startswith("FAIL  beat               none leads")
    assert found["beat"].endswith(" `celery -A cron_tasks beat`; its log says why it does not lead")
    assert found["workers"].startswith("FAIL  workers            none answers")
    assert found["last sync"].startswith("warn  ")


def test_without_redis_the_rest_service_is_checked_all_the_same(quick: Quick) -> None:
    began = time.monotonic()
    rows = quick.json("doctor", code=1, REDIS_URL=f"redis://:hush@127.0.0.1:{free_port()}/0")
    assert time.monotonic() - began < 10
    found = {row["check"]: row for row in rows}
    assert found.keys() == {"settings", "redis", "rest service"}
    assert (found["redis"]["status"], found["rest service"]["status"]) == ("fail", "ok")
    assert ":***@" in found["redis"]["detail"]
    assert found["redis"]["mend"]


def test_a_frozen_redis_and_a_silent_service_are_told_within_seconds(
    quick: Quick, rest: RestServer, tmp_path: Path
) -> None:
    rest.answer = silent()
    frozen = Valkey(tmp_path)
    began = time.monotonic()
    try:
        frozen.freeze()
        rows = quick.json("doctor", code=1, REDIS_URL=frozen.url)
    finally:
        frozen.stop()
    assert time.monotonic() - began < 15
    assert [row["status"] for row in rows] == ["ok", "fail", "fail"]
    assert "Timeout" in rows[1]["detail"]
    assert rows[2]["detail"].endswith("; doctor waits 5 s at most")


def test_wrong_settings_are_all_there_is_to_say(cli: CommandLine, quick: Quick) -> None:
    rows = quick.json("doctor", code=1, TIMEZONE="Mars", SHRINK_LIMIT="7")
    assert [row["check"] for row in rows] == ["settings", "settings"]
    assert {row["detail"].split()[0] for row in rows} == {
        "CRON_TASKS_TIMEZONE",
        "CRON_TASKS_SHRINK_LIMIT",
    }
    assert "\x1b[31m\x1b[1m✗" in cli.on_terminal("doctor", CRON_TASKS_TIMEZONE="Mars")


@pytest.mark.parametrize(
    ("check", "name", "value", "expected"),
    [
        (server.eviction, "maxmemory-policy", "allkeys-lru", ("fail", "allkeys-lru: ")),
        (server.persistence, "appendonly", "no", ("warn", "AOF is off")),
        (server.memory, "maxmemory", "1mb", ("warn", "1.00M: when it is full")),
    ],
)
def test_a_redis_that_loses_things(
    system: System,
    configured: Callable[[str, str], None],
    check: Callable[[System], Finding],
    name: str,
    value: str,
    expected: tuple[str, str],
) -> None:
    assert check(system).status == "ok"
    configured(name, value)
    found = check(system)
    assert found.status == expected[0]
    assert expected[1] in found.detail
    assert found.mend


def test_a_replica_cannot_be_worked_on(system: System, tmp_path: Path) -> None:
    replica = Valkey(tmp_path)
    try:
        with connect(replica.url) as redis:
            redis.replicaof("127.0.0.1", free_port())
            found = server.version(System(system.settings, redis, 0))
    finally:
        replica.stop()
    assert (found.status, "read-only replica" in found.detail) == ("fail", True)


def test_the_rest_service(system: System, rest: RestServer) -> None:
    rest.jobs = [PLANTS, PLANTS]
    assert service.reading(system).detail == "2 rows, 1 of them rejected"
    assert service.reading(system).status == "warn"
    sync(system, PLANTS)
    rest.jobs = []
    refused = service.reading(system)
    assert (refused.status, "--force" in refused.mend) == ("fail", True)
    rest.answer = status(401)
    assert "CRON_TASKS_REST_TOKEN" in service.reading(system).detail


def test_the_last_sync(system: System, rest: RestServer) -> None:
    reconciler = Reconciler(system.redis, system.settings)
    assert service.last_sync(system).status == "warn"
    rest.jobs = [PLANTS]
    reconciler.sync(time.time)
    system.now = time.time()
    assert service.last_sync(system).status == "ok"
    system.now += 3600
    stale = service.last_sync(system)
    assert (stale.status, stale.detail[:12]) == ("fail", "1 h ago, tho")
    rest.jobs = []
    reconciler.sync(time.time)
    refused = service.last_sync(system)
    assert (refused.status, "--force" in refused.mend) == ("fail", True)
    assert refused.detail.startswith("refused since ")


def test_beat_and_its_schedule(system: System) -> None:
    redis = system.redis
    assert work.beat(system).status == "fail"
    redis.set(names.LEADER_LOCK, "somebody", ex=60)
    assert work.beat(system).status == "ok"
    sync(system, PLANTS, {**PLANTS, "id": 8})
    assert work.schedule(system) == Finding("ok", "2 waiting, none overdue")
    redis.zadd(names.SCHEDULE, {names.entry_key("7"): system.now - 90})
    late = work.schedule(system)
    assert (late.status, late.detail) == ("fail", "1 entry is overdue, by up to 1 min 30 s")


def test_entries_that_cannot_be_read(system: System) -> None:
    sync(system, PLANTS)
    assert work.entries(system).status == "ok"
    system.redis.hset(names.entry_key("7"), "job", "{")
    fresh = System(system.settings, system.redis, system.now)
    assert work.entries(fresh).detail == "jobs that cannot be read: 7"
    system.redis.hset(names.SET_ASIDE, names.entry_key("7"), "broken")
    assert names.entry_key("7") in work.entries(fresh).detail


def test_jobs_whose_messages_nobody_gets(system: System) -> None:
    named, silent_one = {**PLANTS, "id": 1, "chat_id": 5}, {**PLANTS, "notify": {"on": []}}
    off = {**PLANTS, "id": 3, "enabled": False}
    sync(system, named, silent_one, off)
    assert work.recipients(system).status == "ok"
    sync(system, named, silent_one, off, *({**PLANTS, "id": n} for n in range(10, 17)))
    fresh = System(system.settings, system.redis, system.now)
    assert work.recipients(fresh).status == "warn"
    assert work.recipients(fresh).detail.endswith(" and 2 more")
    fresh.settings = system.settings.model_copy(update={"chat_id": 9})
    assert work.recipients(fresh).status == "ok"


def test_ticks_past_their_deadline_and_messages_without_a_queue(system: System) -> None:
    assert work.ticks(system).status == work.messages(system).status == "ok"
    Ledger(system.redis).open("7@2026-11-23T09:00:00Z", system.now - 60)
    assert work.ticks(system).detail == "1 of 1 open are past their deadline"
    system.redis.rpush(names.UNDELIVERABLE, "queue {}")
    system.redis.expire(names.UNDELIVERABLE, 60)
    assert work.messages(system).status == "warn"
