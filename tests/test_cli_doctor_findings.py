"""`cron-tasks doctor` finds jobs that can never run, and notifications that can never arrive."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery as App
from command_line import CommandLine, Quick
from helpers import wait_until
from processes import Celery
from redis import Redis
from rest_server import JOBS_PATH, RestServer, status
from structlog.testing import capture_logs

from cron_tasks.health.checks import run_check
from cron_tasks.health.system import System
from cron_tasks.registry.report_requests import request_reports
from cron_tasks.report.reporter import Reporter
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

NEVER = {"name": "x", "run_at": "2099-01-01T00:00:00Z"}
#: An app that reads the queue of ours without having our tasks.
FOREIGN = """
import os
from celery import Celery
app = Celery("foreign", broker=os.environ["CRON_TASKS_REDIS_URL"])
app.conf.task_default_queue = "cron_tasks"
"""

Rows = Callable[..., None]


def findings(cli: CommandLine, code: int = 1, **settings: str) -> dict[str, dict[str, str]]:
    found = {row["check"]: row for row in cli.json("doctor", code=code, **settings)}
    assert all(bool(row["mend"]) == (row["status"] != "ok") for row in found.values())
    return found


def findings_once(cli: CommandLine, **details: str) -> dict[str, dict[str, str]]:
    """Return the findings once these checks have these details.

    A busy worker may not answer doctor in time.
    """

    def find() -> dict[str, dict[str, str]] | None:
        found = findings(cli)
        said = {name.replace(" ", "_"): row["detail"] for name, row in found.items()}
        return found if details.items() <= said.items() else None

    return wait_until(find, str(details))


def test_queues_that_no_worker_consumes(cli: CommandLine, synced: Rows, celery: Celery) -> None:
    slow = [{**NEVER, "id": number, "queue": "slow"} for number in range(1, 6)]
    off = {**NEVER, "id": 7, "queue": "off", "enabled": False}
    synced(*slow, {**NEVER, "id": 6}, off)
    celery.worker().wait_for("ready")
    found = findings_once(cli, workers="1 worker is running; queues: cron_tasks")
    assert found["workers"]["status"] == "ok"
    assert found["job queues"]["status"] == "fail"
    assert found["job queues"]["detail"] == "No worker consumes slow of 5 jobs (1, 2, 3, …)"
    assert found["job queues"]["mend"].endswith("`celery -A cron_tasks worker -Q slow`")
    celery.worker(1, "-Q", "slow").wait_for("ready")
    found = findings_once(cli, workers="2 workers are running; queues: cron_tasks, slow")
    assert found["job queues"]["status"] == "ok"


def test_the_queue_of_a_task_that_no_worker_consumes(
    system: System, cli: CommandLine, redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [
        {**NEVER, "id": 8, "action": {"type": "task", "name": "other.work"}},
        {**NEVER, "id": 9, "action": {"type": "task", "name": "other.work"}, "queue": "theirs"},
    ]
    allowed = system.settings.model_copy(update={"tasks_allow": ("other.work",)})
    Reconciler(redis, allowed).sync(time.time)
    celery.worker().wait_for("ready")
    found = findings_once(cli, workers="1 worker is running; queues: cron_tasks")
    assert found["job queues"]["status"] == "ok"
    assert found["task queues"]["status"] == "warn"
    texts = "celery, the tasks of 1 job (8); theirs, the tasks of 1 job (9)"
    assert found["task queues"]["detail"] == f"No worker consumes {texts}"


def test_a_foreign_worker_that_takes_our_messages(
    cli: CommandLine, synced: Rows, celery: Celery, tmp_path: Path
) -> None:
    synced({**NEVER, "id": 1})
    (tmp_path / "foreign.py").write_text(FOREIGN)
    options = ["-c", "1", "-n", "foreign@test", "-l", "INFO"]
    path = {"PYTHONPATH": str(tmp_path)}
    celery.launch("-A", "foreign", "worker", *options, **path).wait_for("ready")
    lacks = "foreign@test consumes cron_tasks but lacks our tasks"
    findings_once(cli, workers="No worker of cron_tasks answers", foreign_workers=lacks)
    celery.worker().wait_for("ready")
    ours = "1 worker is running; queues: cron_tasks"
    found = findings_once(cli, workers=ours, foreign_workers=lacks)
    assert found["foreign workers"]["status"] == "fail"


def test_messages_that_wait(
    cli: CommandLine, redis: Redis, redis_url: str, synced: Rows, celery: Celery
) -> None:
    synced({**NEVER, "id": 1, "queue": "slow"}, {**NEVER, "id": 2, "queue": "jam", "priority": 6})
    with App("sender", broker=redis_url, set_as_current=False) as app:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7261))
        app.send_task(keys.RUN_TASK, ["1"], queue="slow", task_id=f"1@{at}")
        app.send_task(keys.RUN_TASK, ["2"], queue="jam", priority=6, task_id=f"2@{at}")
        app.send_task("other", queue="jam")
        shown = f"(3 ticks from 1@{at})"
        app.send_task(keys.CHUNK_TASK, [[]], queue="cron_tasks", argsrepr=shown)
    found = findings(cli)["waiting messages"]
    assert found["status"] == "warn"
    assert found["detail"].split("; ") == [
        "1 message in cron_tasks, the oldest for 2 h 1 min",
        "2 messages in jam, the oldest for 2 h 1 min",
        "1 message in slow, the oldest for 2 h 1 min",
    ]
    redis.delete("slow", *redis.scan_iter("jam*"))


def test_messages_that_nobody_can_read(cli: CommandLine, redis: Redis, synced: Rows) -> None:
    synced({**NEVER, "id": 1, "queue": "a"}, {**NEVER, "id": 2, "queue": "b"})
    for text in ("no JSON", "[]", "{}", '{"headers": null}', '{"headers": {"task": []}}'):
        redis.lpush("a", text)
    redis.set("b", "not a list", ex=60)
    redis.expire("a", 60)
    found = findings(cli)["waiting messages"]
    assert found["detail"] == "5 messages in a; 10,001 messages in b"


def test_dead_letters_of_every_queue(system: System, redis: Redis, synced: Rows) -> None:
    synced({**NEVER, "id": 1, "notify": {"queue": "queue:ops"}})
    assert run_check("dead letters", system).detail == "No dead letters"
    for queue in ("queue:ops:dead", "queue:to_telegram:dead"):
        redis.rpush(queue, "{}")
        redis.expire(queue, 60)
    found = run_check("dead letters", System(system.settings, redis, time.time()))
    assert found.status == "warn"
    texts = "1 dead letter in queue:ops:dead; 1 dead letter in queue:to_telegram:dead"
    assert found.detail == texts


def test_jobs_without_a_recipient(system: System, redis: Redis, rest: RestServer) -> None:
    rest.jobs = [
        {**NEVER, "id": 1},
        {**NEVER, "id": 2, "chat_id": 0},
        {**NEVER, "id": 3, "notify": {"on": []}},
        {**NEVER, "id": 4, "enabled": False},
        {**NEVER, "id": 5, "chat_id": None},
    ]
    with capture_logs() as logs:
        Reconciler(redis, system.settings).sync(time.time)
    (line,) = [each for each in logs if each["event"] == "sync.no_recipient"]
    assert (line["jobs"], line["job_id"]) == (2, "1")
    found = run_check("recipients", system)
    assert found.status == "warn"
    assert found.detail == "No recipient for the notifications of 2 jobs (1, 5)"
    addressed = system.settings.model_copy(update={"chat_id": 100})
    assert run_check("recipients", System(addressed, redis, time.time())).status == "ok"


def test_reports_that_are_overdue(system: System, redis: Redis) -> None:
    assert run_check("reports", system).status == "ok"
    redis.zadd(keys.REPORTS, {"7": system.now - 90, "8": system.now + 5})
    assert run_check("reports", system).detail == "1 report overdue"


def test_reports_that_were_refused(redis: Redis, rest: RestServer, system: System) -> None:
    """A report that is refused is not sent again, so nothing else shows it."""
    rest.jobs = [{**NEVER, "id": 1}, {**NEVER, "id": 2}]
    Reconciler(redis, system.settings).sync(time.time)
    settings = system.settings.model_copy(update={"rest_report_path": JOBS_PATH + "{id}"})
    reporter = Reporter(redis, settings)
    request_reports(redis, ["1", "2"], 0)
    rest.answer_patch = status(422)
    assert reporter.send_due_reports(time.time) == 0
    found = run_check("reports", system)
    assert found.status == "warn"
    words = r"the last report of 2 jobs was refused, e\.g\. that of job [12] at http://.*\{id\}"
    assert re.fullmatch(words, found.detail)
    rest.answer_patch = None
    request_reports(redis, ["1", "2"], 0)
    assert reporter.send_due_reports(time.time) == 2
    assert run_check("reports", system).status == "ok"


@pytest.fixture
def restricted(redis: Redis, redis_url: str) -> Iterator[Callable[..., str]]:
    """Make a user of the shared Valkey with these rights, and return its URL."""

    def make(*rights: str) -> str:
        redis.execute_command("ACL", "SETUSER", "ann", "reset", "on", ">pw", *rights)
        return redis_url.replace("redis://", "redis://ann:pw@")

    yield make
    redis.execute_command("ACL", "DELUSER", "ann")


def test_a_wrong_password_is_not_a_redis_that_is_away(
    quick: Quick, restricted: Callable[..., str]
) -> None:
    url = restricted("~*", "&*", "+@all").replace(":pw@", ":wrong@")
    rows = {row["check"]: row for row in quick.json("doctor", code=1, REDIS_URL=url)}
    assert rows.keys() == {"settings", "redis", "rest service"}
    assert "Check the user and the password in CRON_TASKS_REDIS_URL" in rows["redis"]["detail"]
    assert rows["redis"]["mend"].startswith("Correct the password")
    assert "wrong@" not in str(rows)
    error = quick.error("jobs", "list", REDIS_URL=url)
    assert "Check the user and the password in CRON_TASKS_REDIS_URL" in error


def test_a_missing_password_is_named(
    quick: Quick, redis: Redis, restricted: Callable[..., str]
) -> None:
    admin = restricted("~*", "&*", "+@all")
    redis.execute_command("ACL", "SETUSER", "default", "resetpass", ">pw")
    try:
        assert "it requires a password. Check the user" in quick.error("jobs", "list")
        doctor = quick.json("doctor", code=1)
    finally:
        with Redis.from_url(admin) as ann:
            ann.execute_command("ACL", "SETUSER", "default", "nopass")
    (found,) = [row for row in doctor if row["check"] == "redis"]
    assert found["mend"].startswith("Correct the password")


@pytest.mark.parametrize(
    ("rights", "detail"),
    [
        (("~*", "&*", "+@all", "-eval"), "command EVAL is denied"),
        (("~*", "&*", "+@all", "-hlen", "-xlen"), "command HLEN is denied, command XLEN is denied"),
        (("~*", "&*", "+@all", "-publish"), "command PUBLISH is denied"),
        (("~*", "+@all", "resetchannels"), "channel cron_tasks:probe is denied"),
        (
            ("~cron_tasks*", "~queue:*", "~_kombu*", "~unacked*", "~*.pidbox*", "&*", "+@all"),
            "key redbeat:probe is denied",
        ),
        (
            ("~cron_tasks*", "~redbeat:*", "~_kombu*", "~unacked*", "~*.pidbox*", "&*", "+@all"),
            "key queue:to_telegram is denied, key queue:to_telegram:dead is denied",
        ),
        (
            ("~cron_tasks*", "~redbeat:*", "~queue:*", "~_kombu*", "~unacked*", "&*", "+@all"),
            "key probe.celery.pidbox is denied",
        ),
    ],
)
def test_missing_rights_are_named(
    system: System, restricted: Callable[..., str], rights: tuple[str, ...], detail: str
) -> None:
    with Redis.from_url(restricted(*rights), decode_responses=True) as redis:
        found = run_check("redis rights", System(system.settings, redis, system.now))
    assert (found.status, found.detail) == ("fail", detail)


def test_a_denied_command_fails_its_check_alone(
    system: System, restricted: Callable[..., str]
) -> None:
    with Redis.from_url(restricted("~*", "&*", "+@all", "-info"), decode_responses=True) as redis:
        limited = System(system.settings, redis, system.now)
        found = run_check("redis", limited)
        assert "'info'" in found.detail
        assert "ACL SETUSER" in found.mend
        assert limited.is_reachable
