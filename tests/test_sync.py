"""A real Redis is reconciled with a real REST service that is edited, breaks, and comes back."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers import PATIENCE, wait_until
from redis import Redis
from rest_server import RestServer, envelope, html, status, truncated

from cron_tasks.registry.registry import Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.outcome import Report
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.refused_plan import NAMED, load_plan

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
DAILY = {"id": 7, "name": "Water the plants", "cron_expression": "0 9 * * *"}
NINE = NOW + 3600
KEY = keys.entry_key("7")


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reconciler(redis: Redis, rest: RestServer) -> Reconciler:
    settings = Settings(rest_url=rest.url)
    return Reconciler(redis, settings)


Sync = Callable[..., Report]


@pytest.fixture
def sync(reconciler: Reconciler, rest: RestServer, clock: Clock) -> Sync:
    def run(*jobs: Any, **options: Any) -> Report:
        rest.jobs = list(jobs)
        report = reconciler.sync(clock, **options)
        assert report is not None
        return report

    return run


def score(redis: Redis) -> float | None:
    return redis.zscore(keys.SCHEDULE, KEY)


def test_a_new_job_is_due_at_its_next_tick(sync: Sync, redis: Redis) -> None:
    report = sync(DAILY)
    assert [desired.job.id for desired in report.changes.added] == ["7"]
    assert score(redis) == NINE
    definition = json.loads(redis.hget(KEY, "definition"))
    assert (definition["name"], definition["task"], definition["args"]) == (
        "cron_tasks:7",
        "cron_tasks.run_job",
        ["7"],
    )
    assert "last_run_at" in json.loads(redis.hget(KEY, "meta"))


def test_unchanged_jobs_are_not_written(sync: Sync, redis: Redis, clock: Clock) -> None:
    sync(DAILY)
    redis.zadd(keys.SCHEDULE, {KEY: NOW + 1})
    redis.hset(KEY, "definition", "touched")
    clock.now += 60
    report = sync(DAILY, {"id": 8, "name": "x", "every": 5})
    assert (report.changes.unchanged, len(report.changes.added)) == (1, 1)
    assert (score(redis), redis.hget(KEY, "definition")) == (NOW + 1, "touched")


def test_an_unmodified_list_takes_one_request(sync: Sync, rest: RestServer) -> None:
    sync(DAILY)
    report = sync(DAILY)
    assert (report.not_modified, report.changes.unchanged) == (True, 1)
    assert len(rest.requests) == 2


@pytest.mark.parametrize(
    ("edit", "due"),
    [
        ({"name": "Feed the cat"}, NINE),  # the schedule stays: nothing moves
        ({"queue": "slow", "priority": 3}, NINE),
        ({"cron_expression": "0 10 * * *"}, NINE + 3600),
        ({"cron_expression": "0 7 * * *"}, NINE + 22 * 3600),  # an hour already past: not now
        ({"timezone": "Europe/Berlin"}, NINE + 23 * 3600),
        ({"enabled": False}, None),
    ],
)
def test_an_edit_keeps_history_and_never_fires_by_itself(
    sync: Sync, redis: Redis, edit: dict[str, Any], due: float | None
) -> None:
    sync(DAILY)
    redis.hset(KEY, "meta", '{"last_run_at": null, "total_run_count": 41}')
    redis.lpush(keys.HISTORY_PREFIX + "7", "a run")
    redis.expire(keys.HISTORY_PREFIX + "7", 100)
    sync(DAILY | edit)
    assert score(redis) == due
    assert json.loads(redis.hget(KEY, "meta"))["total_run_count"] == 41
    assert redis.llen(keys.HISTORY_PREFIX + "7") == 1


def test_an_edit_of_the_name_loses_no_overdue_tick(sync: Sync, redis: Redis, clock: Clock) -> None:
    sync(DAILY)
    clock.now = NINE + 5
    sync(DAILY | {"name": "x"})
    assert score(redis) == NINE


def test_enabling_fires_at_the_next_tick(sync: Sync, redis: Redis, clock: Clock) -> None:
    sync(DAILY)
    sync(DAILY | {"enabled": False})
    clock.now = NINE + 60
    sync(DAILY)
    assert score(redis) == NINE + 86_400


def test_a_removed_job_leaves_no_key_and_comes_back_fresh(
    sync: Sync, redis: Redis, clock: Clock
) -> None:
    other = {"id": 8, "name": "other", "every": 3600}
    sync(DAILY, other)
    redis.hset(KEY, "meta", '{"last_run_at": null, "total_run_count": 41}')
    redis.lpush(keys.HISTORY_PREFIX + "7", "a run")
    sync(other)
    # What it was is remembered as long as it is audited.
    assert list(redis.scan_iter("*:7")) == [keys.VERSIONS_PREFIX + "7"]
    assert score(redis) is None
    clock.now = NINE + 60
    sync(DAILY, other)
    assert score(redis) == NINE + 86_400
    assert json.loads(redis.hget(KEY, "meta"))["total_run_count"] == 0


def test_entries_of_an_operator_are_never_touched(sync: Sync, redis: Redis) -> None:
    redis.hset("redbeat:mine", mapping={"definition": "{}", "meta": "{}"})
    redis.zadd(keys.SCHEDULE, {"redbeat:mine": NOW + 5})
    sync(DAILY)
    sync(force=True)
    assert redis.hgetall("redbeat:mine") == {"definition": "{}", "meta": "{}"}
    assert redis.zrange(keys.SCHEDULE, 0, -1, withscores=True) == [["redbeat:mine", NOW + 5]] or (
        redis.zrange(keys.SCHEDULE, 0, -1, withscores=True) == [("redbeat:mine", NOW + 5)]
    )


def test_a_bad_row_keeps_its_last_good_version(
    sync: Sync, reconciler: Reconciler, redis: Redis
) -> None:
    sync(DAILY)
    report = sync(DAILY | {"cron_expression": "99 9 * * *"}, {"id": 8})
    assert report.state == "ok"
    assert score(redis) == NINE
    listed = {each.id: each for each in read_rejected(reconciler.redis)}
    assert "minute 99 is not in 0–59" in listed["7"].errors[0]
    assert len(listed["8"].errors) == 2
    sync(DAILY)
    assert read_rejected(reconciler.redis) == []


@pytest.mark.parametrize(
    ("answer", "state", "detail"),
    [
        (status(500), "failing", "500"),
        (html(), "failing", "HTML"),
        (truncated(b"[{}, {}]", 4), "failing", "cut"),
        (envelope([[]]), "refused", "the list is empty but 1 jobs are known"),
    ],
)
def test_a_broken_list_changes_nothing(
    sync: Sync, reconciler: Reconciler, rest: RestServer, redis: Redis, clock: Clock,
    answer: Any, state: str, detail: str,
) -> None:  # fmt: skip
    sync(DAILY)
    before = redis.hgetall(KEY)
    rest.answer = answer
    clock.now += 60
    assert sync().state == state
    assert redis.hgetall(KEY) == before
    known = reconciler.status()
    assert (known.state, known.since, known.last_success) == (state, NOW + 60, NOW)
    assert detail in known.detail
    rest.answer = None
    assert sync(DAILY).state == "ok"


def test_force_accepts_an_empty_list_once(sync: Sync, reconciler: Reconciler) -> None:
    sync(DAILY)
    assert sync().state == "refused"
    assert sync(force=True).state == "ok"
    assert reconciler.registry.count() == 0


def test_a_preview_changes_nothing(
    sync: Sync, reconciler: Reconciler, rest: RestServer, redis: Redis
) -> None:
    sync(DAILY)
    before = {key: redis.type(key) for key in redis.scan_iter()}
    rest.jobs = [{"id": 8, "name": "x", "every": 5}]
    report = reconciler.preview(force=True)
    assert [desired.job.id for desired in report.changes.added] == ["8"]
    assert report.changes.removed == ["7"]
    assert {key: redis.type(key) for key in redis.scan_iter()} == before


def test_the_running_one_of_two_syncs_repeats(
    reconciler: Reconciler, rest: RestServer, clock: Clock
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hold(handler: Any) -> bool:
        asked.set()
        go_on.wait(PATIENCE)
        rest.answer = None
        return False

    rest.jobs = [DAILY]
    rest.answer = hold
    thread = threading.Thread(target=reconciler.sync, args=(clock,))
    thread.start()
    assert asked.wait(PATIENCE)
    assert reconciler.sync(clock) is None
    go_on.set()
    thread.join()
    assert len(rest.requests) == 2
    wait_until(lambda: reconciler.registry.count() == 1)


def test_a_change_wakes_beat(sync: Sync, redis: Redis) -> None:
    sync(DAILY)
    assert redis.llen(keys.WAKE) == 1
    sync(DAILY | {"name": "x"})
    assert redis.llen(keys.WAKE) == 1


def test_an_emptied_redis_is_filled_again(sync: Sync, redis: Redis) -> None:
    sync(DAILY)
    redis.flushall()
    report = sync(DAILY)
    assert (report.not_modified, len(report.changes.added)) == (False, 1)
    assert score(redis) == NINE


def test_reading_back(sync: Sync, redis: Redis) -> None:
    odd = "a\x1b[31m\u202e ключ\n"
    sync(DAILY, {"id": "x y", "name": odd, "every": 5, "enabled": False})
    found = {each.job.id: each for each in Registry(redis).read_jobs()}
    assert (found["7"].next, found["7"].runs) == (NINE, 0)
    assert (found["x y"].job.name, found["x y"].next) == (odd, None)


def test_what_a_refused_list_would_change_is_kept_until_a_list_is_accepted(
    sync: Sync, redis: Redis, reconciler: Reconciler
) -> None:
    """The numbers are exact, the first jobs are named, and nothing is applied."""
    rows = [{"id": n, "name": f"Job {n}", "every": 3600} for n in range(60)]
    sync(*rows)
    assert load_plan(reconciler.status().refused_plan) is None
    new = {"id": "new", "name": "New\x1b[31m", "every": 60}
    assert sync(rows[0], {**rows[1], "every": 7200}, new).state == "refused"
    plan = load_plan(reconciler.status().refused_plan)
    assert plan is not None
    assert (plan.removed.count, plan.changed.count, plan.added.count, plan.unchanged) == (
        58,
        1,
        1,
        1,
    )
    assert plan.removed.first[0] == ("2", "")
    assert len(plan.removed.first) == NAMED
    assert plan.changed.first == (("1", "Job 1"),)
    assert plan.added.first == (("new", "New\\x1b[31m"),)
    assert redis.hlen(keys.JOBS) == 60
    sync(*rows)
    assert load_plan(reconciler.status().refused_plan) is None
