"""A list in Redis is read either by workers or by bots. All names are compared."""

import time
from typing import Any

import pytest
from helpers import PATIENCE
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.errors import SettingsError
from cron_tasks.jobs.fingerprint import fingerprint_row
from cron_tasks.registry.plan import Changes, Policy, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings, load
from cron_tasks.sync.reconciler import Reconciler

NOTIFY = "queue:to_telegram"


def row(job_id: int, queue: str | None = None, bots: str | None = None) -> dict[str, Any]:
    named = {"queue": queue, "notify": bots and {"queue": bots}}
    found = {"id": job_id, "name": "x", "every": 60, **named}
    return {name: value for name, value in found.items() if value}


def settled(*rows: Any, known: tuple[dict[str, Any], ...] = (), notify: str = NOTIFY) -> Changes:
    policy = Policy(notify_queue=notify)
    current = {str(each["id"]): fingerprint_row(each, "UTC") for each in known}
    changes = plan_changes(current, [(f"row {n}", each) for n, each in enumerate(rows, 1)], policy)
    changes.judge_candidates()
    return changes


COLLIDING = [
    ("x", "x"),
    ("x:dead", "x"),
    ("x:readers", "x"),
    ("x:processing:host", "x"),
    ("x:alive:host", "x"),
    ("x:group:alive:host", "x"),
    ("x:y:alive:host", "x:y"),
    ("x:processing:a:dead", "x"),
]


@pytest.mark.parametrize(("queue", "bots"), COLLIDING)
def test_two_jobs_collide(queue: str, bots: str) -> None:
    worker, bot = row(1, queue=queue), row(2, bots=bots)
    for first, second in ((worker, bot), (bot, worker)):
        for known in ((), (first,)):
            changes = settled(first, second, known=known)
            (rejected,) = changes.rejected
            assert rejected.id == str(second["id"])
            (error,) = rejected.errors
            field = "queue" if second is worker else "notify.queue"
            other = "notify.queue" if second is worker else "queue"
            assert error.startswith(f"`{field}`: ")
            assert f"`{other}` of job {first['id']} (row 1)" in error
        # What is registered stays, wherever it stands in the list.
        (rejected,) = settled(first, second, known=(second,)).rejected
        assert (rejected.id, "(row 2)" in rejected.errors[0]) == (str(first["id"]), True)


@pytest.mark.parametrize(("queue", "bots"), COLLIDING)
def test_one_job_collides_with_itself_and_with_the_settings(queue: str, bots: str) -> None:
    (rejected,) = settled(row(1, queue, bots)).rejected
    assert any(error.startswith("`queue`: ") for error in rejected.errors)
    (rejected,) = settled(row(1, queue), notify=bots).rejected
    assert "CRON_TASKS_NOTIFY_QUEUE" in rejected.errors[0]


def test_two_notification_queues_collide_if_one_is_beside_the_other() -> None:
    (rejected,) = settled(row(1, bots="x"), row(2, bots="x:dead")).rejected
    assert rejected.id == "2"
    (rejected,) = settled(row(1, bots="x:dead"), row(2, bots="x")).rejected
    assert rejected.id == "2"
    assert settled(row(1, bots=f"{NOTIFY}:dead")).rejected


def test_names_that_do_not_collide() -> None:
    apart = [
        row(1, "x", "y"),
        row(2, "x", "y"),
        row(3, "x:dead"),
        row(4, "y:urgent"),
        row(5, bots="y:normal"),
        row(6, bots=NOTIFY),
        row(7, "cron_tasks"),
        row(8),
    ]
    assert not settled(*apart).rejected
    changes = settled(*apart, known=tuple(apart))
    assert (changes.unchanged, changes.rejected) == (8, [])


@pytest.mark.parametrize(
    "name",
    [
        *("celeryev", "celeryev.1", "w1@host.celery.pidbox", "celery\x06\x163"),
        *("_kombu.binding.celery", "unacked", "redbeat::schedule", "cron_tasks:poke"),
    ],
)
def test_no_job_may_use_lists_of_celery_itself(name: str) -> None:
    assert settled(row(1, queue=name)).rejected
    assert settled(row(1, bots=name)).rejected


def test_other_faults_are_reported_too() -> None:
    (rejected,) = settled(row(1, "x") | {"every": "?"}, notify="x").rejected
    assert len(rejected.errors) == 2
    for odd in ({"queue": 5}, {"queue": []}, {"notify": "x"}, {"notify": {"queue": {}}}):
        assert settled(row(1) | odd, notify="x").rejected
    assert not settled(row(1) | {"queue": "", "notify": {"queue": None}}, notify="x").rejected


def test_the_last_good_version_keeps_its_queues() -> None:
    old = row(1, "x")
    changes = settled(old | {"every": "?"}, row(2, bots="x"), known=(old,))
    assert [each.id for each in changes.rejected] == ["1", "2"]


def test_two_that_swap_their_queues_do_not_collide() -> None:
    before = row(1, "x"), row(2, bots="y")
    assert not settled(row(1, "y"), row(2, bots="x"), known=before).rejected


def test_another_setting_is_compared_with_what_is_registered(
    redis: Redis, rest: RestServer
) -> None:
    """This holds even if the service answers that its list has not changed (304)."""
    rest.jobs = [row(1, "x"), row(2)]
    for notify, rejected in ((NOTIFY, []), ("x", ["1"]), (NOTIFY, [])):
        settings = Settings(rest_url=rest.url, notify_queue=notify)
        report = Reconciler(redis, settings).sync(time.time)
        assert report is not None
        assert not report.not_modified
        assert [each.id for each in report.changes.rejected] == rejected
        assert Registry(redis).read_index().keys() == {"1", "2"}


@pytest.mark.parametrize(
    "name", ["celery", "celery:x", "celeryev.x", "_kombu.binding.celery", "reply.celery.pidbox"]
)
def test_a_setting_that_names_a_list_of_celery_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRON_TASKS_NOTIFY_QUEUE", name)
    load.cache_clear()
    try:
        with pytest.raises(SettingsError, match=r"^CRON_TASKS_NOTIFY_QUEUE .* are reserved"):
            load()
    finally:
        load.cache_clear()


@pytest.mark.parametrize("queues", [NOTIFY, f"cron_tasks,{NOTIFY}", f"{NOTIFY}:dead"])
def test_a_worker_that_would_read_notifications_does_not_start(celery: Celery, queues: str) -> None:
    worker = celery.worker(1, "-Q", queues)
    assert worker.popen.wait(PATIENCE) == 1
    sentence = worker.output.splitlines()[-1]
    assert sentence.startswith(f"`-Q`: '{queues.split(',')[-1]}' is ")
    assert "CRON_TASKS_NOTIFY_QUEUE" in sentence
