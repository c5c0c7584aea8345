"""The texts of the pages, without a server: causes, the sentence, charts, the forecast, the
index."""

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from helpers import NEVER_DUE, wait_until
from redis import Redis

from cron_tasks.pages import charts
from cron_tasks.pages.causes import Failure, group_failures, name_cause
from cron_tasks.pages.forecast import group_by_schedule, make_forecast
from cron_tasks.pages.index import Index, select
from cron_tasks.pages.live import Look
from cron_tasks.pages.sentence import Situation, say
from cron_tasks.pages.survey import make_audit
from cron_tasks.pages.task_marks import mark_task
from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys

#: A whole hour.
NOON = 1_795_348_800.0
STILL = "for 1 h 23 min: the list is empty. The jobs run as they were"
WELL = Situation(
    jobs=100_000,
    has_leader=True,
    workers=2,
    oldest_due=0.0,
    late=0,
    waiting=0,
    list="ok",
    list_since=5000.0,
    list_detail="the list is empty",
    failing=0,
    causes=0,
    lost=0,
    other_faults=(),
    other_warnings=(),
)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            "POST http://api.intern:8080/x?id=7: answered 503 Service Unavailable",
            "HTTP 503 from api.intern",
        ),
        ("GET https://api.intern/y: answered 503 Service Unavailable", "HTTP 503 from api.intern"),
        (
            "GET https://api.intern/y: the connection was refused",
            "api.intern: the connection was refused",
        ),
        ("GET https://api.intern/y: no answer within 2.5 s", "api.intern: no answer within … s"),
        ("timed out after 300 s", "timed out after … s"),
        ("KeyError: 'customer 42'", "KeyError: …"),
        ("no row 9f1c2a7e-1b2c-4d5e-8f90-aabbccddeeff", "no row …"),
        ("", "no error was given"),
        ("first\nsecond \x1b[31m", "first\\nsecond \\x1b[…m"),
    ],
)
def test_the_cause_of_an_error(error: str, cause: str) -> None:
    assert name_cause(error) == cause


def test_failures_are_grouped_by_cause() -> None:
    """The cause of most jobs comes first. It began with its first job."""
    refused = "GET http://a/{}: the connection was refused"
    found = [Failure(str(n), 100.0 + n, 200.0 + n, refused.format(n)) for n in range(12)]
    causes = group_failures([Failure("x", 1.0, 2.0, "boom"), *found])
    assert [(cause.text, len(cause.job_ids)) for cause in causes] == [
        ("a: the connection was refused", 12),
        ("boom", 1),
    ]
    assert causes[0].job_ids[:3] == ("0", "1", "2")
    assert causes[0].job_ids[-1] == "11"
    assert (causes[0].since, causes[0].latest) == (100.0, 211.0)
    assert causes[0].example == refused.format(11)


@pytest.mark.parametrize(
    ("changed", "level", "sentence"),
    [
        ({}, "ok", "All is well: 100,000 jobs, nothing late, none lost in the last day"),
        ({"lost": None}, "ok", "All is well: 100,000 jobs, nothing late"),
        (
            {"jobs": 0, "workers": 0},
            "ok",
            "All is well: 0 jobs, nothing late, none lost in the last day",
        ),
        (
            {"has_leader": False, "oldest_due": 200.0, "failing": 3},
            "fail",
            "Nothing has fired for 3 min 20 s: no beat leads",
        ),
        ({"has_leader": False}, "fail", "No beat leads, so no job will fire"),
        (
            {"late": 1, "oldest_due": 45.0},
            "fail",
            "1 job is late by up to 45 s: beat does not keep up",
        ),
        (
            {"workers": 0, "waiting": 7},
            "fail",
            "No worker gives a sign of life, so no run begins: 7 runs wait",
        ),
        ({"lost": 2, "failing": 5}, "fail", "2 ticks were lost in the last day"),
        ({"list": "refused"}, "fail", f"The list of jobs has been refused {STILL}"),
        ({"list": "failing"}, "fail", f"The list of jobs could not be read {STILL}"),
        ({"failing": 312, "causes": 1}, "fail", "312 jobs of 100,000 fail"),
        ({"failing": 1, "causes": 1}, "fail", "1 job of 100,000 fails"),
        ({"failing": 5, "causes": 2}, "fail", "5 jobs of 100,000 fail, for 2 causes"),
        (
            {"other_faults": ["2 rows rejected"], "other_warnings": ["x"]},
            "fail",
            "All jobs fire, but: 2 rows rejected",
        ),
        (
            {"other_warnings": ["7 messages waiting", "x", "y"]},
            "warn",
            "All jobs fire, but: 7 messages waiting. 2 more findings below",
        ),
    ],
)
def test_the_sentence(changed: dict[str, Any], level: str, sentence: str) -> None:
    """It names the worst problem."""
    said = say(replace(WELL, **changed))
    assert (said.level, said.text) == (level, sentence)


def test_a_strip_has_the_last_runs_oldest_first() -> None:
    runs = [
        {"scheduled_for": f"2026-11-23T09:00:{n:02}Z", "status": "ok", "duration": 0.5}
        for n in range(30, 0, -1)
    ]
    runs[0] |= {"status": "failed", "error": "HTTP 500"}
    marks = charts.strip_of_runs(runs)
    assert len(marks) == charts.STRIP
    assert marks[0].title == "2026-11-23 09:00:11: ok after 0.5 s"
    assert marks[-1] == charts.Mark("failed", "2026-11-23 09:00:30: failed after 0.5 s: HTTP 500")


def test_the_strip_of_a_frequent_job_has_buckets_of_time() -> None:
    """A bucket has the colour of its worst tick. Buckets before the job was known are empty."""
    now = NOON + 3600
    ends = [(NOON + 3590, "skipped"), (NOON + 3591, "failed"), (NOON + 100, "missed")]
    marks = charts.strip_of_buckets(ends, NOON + 1000, now)
    assert len(marks) == charts.STRIP
    assert [mark.kind for mark in marks[:6]] == ["missed", "none", "none", "none", "none", "ok"]
    assert marks[-1].kind == "failed"
    assert marks[-1].title.endswith("UTC: 1 failed, 1 skipped")


def test_the_heat_map_tells_few_ticks_from_none_and_from_many() -> None:
    rows = charts.heat_map([0, 1, 1000, 1, *[0] * 120], NOON)
    assert [mark.kind for mark in rows[0].marks[:4]] == ["0", "1", "4", "1"]
    assert [row.ticks for row in rows] == [1002, 0, 0]
    assert charts.heat_map([], NOON) == []
    assert charts.find_shade(5, 5, 5) == 1


def index_of(redis: Redis) -> Index:
    found = Index(redis)
    found.get()
    return found


def test_the_forecast_counts_each_minute(synced: Callable[..., None], redis: Redis) -> None:
    """Jobs that do not fire are left out, and the worst minute names its jobs."""
    synced(
        {"id": 1, "name": "a", "cron_expression": "5 * * * *"},
        {"id": 2, "name": "b", "cron_expression": "5 * * * *"},
        {"id": 3, "name": "c", "every": 20},
        {"id": 4, "name": "d", "every": 1, "enabled": False},
        {"id": 5, "name": "e", "every": 1},
    )
    Registry(redis).pause("5", "rest", time.time())
    groups = group_by_schedule(index_of(redis).get().jobs.values())
    found = make_forecast(groups, NOON + 59.0)
    assert found.start == NOON
    assert list(found.counts[:7]) == [3, 3, 3, 3, 3, 5, 3]
    assert sum(found.counts_from(NOON, 24 * 60)) == 24 * (60 * 3 + 2)
    assert found.counts_from(NOON + 5 * 60 + 1, 2) == [5, 3]
    assert found.worst[0].at == NOON + 300
    assert (found.worst[0].ticks, found.worst[0].job_ids) == (5, ("1", "2", "3"))


def test_the_index_follows_every_change(synced: Callable[..., None], redis: Redis) -> None:
    """This includes changes by other processes: added, renamed, paused, resumed and removed
    jobs."""
    rows: list[dict[str, Any]] = [
        {"id": n, "name": f"Job {n}", **NEVER_DUE, "tags": ["all"]} for n in range(1, 4)
    ]
    synced(*rows)
    index = index_of(redis)

    def names(**filters: Any) -> list[str]:
        return [job.name for job in select(index.get(), **filters)]

    assert names() == ["Job 1", "Job 2", "Job 3"]
    rows[0] = {**rows[0], "name": "Renamed"}
    synced(*rows[:2], {"id": 10, "name": "Ten", **NEVER_DUE})
    wait_until(lambda: names() == ["Renamed", "Job 2", "Ten"], "the index to follow")
    assert names(query="RENAM") == ["Renamed"]
    assert names(query="job 2") == ["Job 2"]
    assert names(tag="all") == ["Renamed", "Job 2"]
    assert names(ids=["10", "gone", "1"]) == ["Renamed", "Ten"]
    Registry(redis).pause("2", "rest", time.time())
    index.refresh(["2"])
    assert names(state="paused") == ["Job 2"]
    assert index.get().paused == 1
    assert index.get().name_of("2") == "Job 2"
    assert index.get().name_of("gone") == "gone"


def test_a_record_that_cannot_be_read_stops_no_stream() -> None:
    def look(*newest: str) -> Look:
        return Look((), (1, ""), newest, (), {})

    record = '{"run_id": "7@2026-11-23T09:00:00Z", "status": "ok"}'
    new = look("garbage", "[]", "{}", "null", record, "seen")
    assert new.changed_since(look("seen")) == ["", "7"]


def test_an_entry_that_cannot_be_read_is_left_out(
    synced: Callable[..., None], redis: Redis
) -> None:
    synced(*({"id": n, "name": f"Job {n}", **NEVER_DUE} for n in (1, 2, 3)))
    redis.hset(keys.entry_key("2"), "job", "not JSON")
    redis.delete(keys.entry_key("3"))
    assert list(index_of(redis).get().jobs) == ["1"]


def test_an_audit_notes_what_did_not_run(synced: Callable[..., None], redis: Redis) -> None:
    synced({"id": 1, "name": "a", "every": 60})
    now = float(int(time.time()))
    for ago, reason in (
        (60, "overlap"),
        (120, "overlap"),
        (180, "by_hand"),
        (2 * 86400, "overlap"),
    ):
        line = {"run_id": f"1@{ago}", "status": "skipped", "reason": reason}
        redis.zadd(keys.ACCOUNT_PREFIX + "1", {orjson.dumps(line): now - ago})
    redis.expire(keys.ACCOUNT_PREFIX + "1", 60)
    (found,) = make_audit(redis, now).unrun
    assert (found.job_id, found.reason, found.ticks, found.latest) == ("1", "overlap", 2, now - 60)


@pytest.mark.parametrize(
    ("name", "result", "state"),
    [
        ("cron_tasks.run_job", "'7@2026-11-23T09:00:00Z ok'", "SUCCESS"),
        ("cron_tasks.run_job", "'7@2026-11-23T09:00:00Z failed'", "FAILURE"),
        ("cron_tasks.run_job", "'failed@2026-11-23T09:00:00Z ok'", "SUCCESS"),
        ("cron_tasks.run_job", "'known@2026-11-23T09:00:00Z goes on'", "FAILURE"),
        ("cron_tasks.run_chunk", "'500 of 500 ticks run'", "SUCCESS"),
        ("cron_tasks.run_chunk", "'500 of 500 ticks run (2 failed)'", "FAILURE"),
        ("their.task", "'failed'", "SUCCESS"),
    ],
)
def test_which_tasks_are_shown_as_failed(name: str, result: str, state: str) -> None:
    uuid = result.strip("'").split(" ")[0]
    task = SimpleNamespace(name=name, result=result, state="SUCCESS", uuid=uuid)
    assert mark_task(task, {"known@2026-11-23T09:00:00Z"}).state == state
