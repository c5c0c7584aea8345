"""Doctor's shortcuts for very many jobs, shown with few."""

import pytest
from helpers import PATIENCE
from rest_server import RestServer

from cron_tasks.health import service_checks
from cron_tasks.health.checks import run_check
from cron_tasks.health.needs import Needs, read_needs
from cron_tasks.health.system import System
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler


@pytest.fixture
def system(redis, monkeypatch):
    jobs = [{"id": n, "name": f'"chat_id": {n}', "every": 60} for n in range(12)]
    more = [
        {"id": "off", "name": "x", "every": 60, "enabled": False, "queue": "slow"},
        {"id": "slow", "name": "x", "every": 60, "queue": "slow", "chat_id": 5},
        {"id": "task", "name": "x", "every": 60, "action": {"type": "task", "name": "t"}},
        {"id": "quiet", "name": "x", "every": 60, "notify": {"on": []}},
        {"id": "other", "name": "x", "every": 60, "notify": {"queue": "bot"}, "chat_id": "a"},
        {"id": "odd", "name": "x", "every": 60, "unknown": {"chat_id": 1}},
        {"id": "plain", "name": "x", "every": 60, "chat_id": 7},
    ]
    monkeypatch.setattr(service_checks, "MANY", 5)
    monkeypatch.setattr(service_checks, "COMPARED_FOR", PATIENCE)
    with RestServer([*jobs, *more]) as server:
        settings = Settings(rest_url=server.url, tasks_allow=["t"])
        report = Reconciler(redis, settings).sync(lambda: 1_800_000_000.0)
        assert report is not None
        assert not report.changes.rejected
        yield System(settings, redis, 1_800_000_000.0)


@pytest.mark.parametrize("letter", [None, "", "z"], ids=["now", "before", "later"])
def test_what_jobs_need(system: System, letter: str | None) -> None:
    """The version before wrote no letters, and a later one may write others."""
    if letter is not None:
        values = Registry(system.redis).read_index()
        older = {job_id: value[:16] + letter for job_id, value in values.items()}
        system.redis.hset(keys.JOBS, mapping=older)
    needs: Needs = read_needs(system.redis, system.settings)
    assert {name: str(jobs) for name, jobs in needs.run_queues.items()} == {"slow": "1 job (slow)"}
    assert {name: str(jobs) for name, jobs in needs.task_queues.items()} == {
        "celery": "1 job (task)"
    }
    assert needs.notify_queues == {"queue:to_telegram", "bot"}
    assert str(needs.unaddressed) == "14 jobs (0, 1, 2, …)"
    told = system.settings.model_copy(update={"chat_id": 1})
    assert not read_needs(system.redis, told).unaddressed


def test_values_of_the_version_before_are_unchanged(system: System) -> None:
    values = Registry(system.redis).read_index()
    system.redis.hset(keys.JOBS, mapping={job_id: value[:16] for job_id, value in values.items()})
    report = Reconciler(system.redis, system.settings).sync(lambda: 1_800_000_000.0, force=True)
    assert report is not None
    assert report.changes.unchanged == len(values)


def test_a_list_that_is_as_before_is_not_read_again(system: System) -> None:
    found = run_check("rest service", system)
    unchanged = "The list has not changed since the last sync: 19 jobs"
    assert (found.status, found.detail) == ("ok", unchanged)


def test_a_part_is_compared_and_beat_does_the_rest(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_check("registry", system).detail == "Jobs, schedule and open ticks agree"
    monkeypatch.setattr(service_checks, "COMPARED_FOR", -1.0)
    found = run_check("registry", system)
    assert (found.status, "The leading beat compares all" in found.detail) == ("ok", True)
