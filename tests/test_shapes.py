"""Recorded shapes of real services, read over HTTP with the mappings that docs/mapping.md shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from reading import (
    failure,
    quick,  # noqa: F401
    read,
)
from redis import Redis
from rest_server import RestServer, reply

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.settings.functions import MappingFunctions
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

DOCS = (Path(__file__).parent.parent / "docs" / "mapping.md").read_text("utf-8")
MAPPINGS = dict(re.findall(r"```json (\S+)\n(.*?)```", DOCS, re.DOTALL))


def check(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "slug": name.lower() or "nameless",
        "tags": "prod  backup",
        "desc": "",
        "grace": 3600,
        "n_pings": 5,
        "status": "up",
        "last_ping": "2026-11-27T20:54:03+00:00",
        "next_ping": "2026-11-28T20:54:03+00:00",
        "ping_url": "https://hc.example/1",
        "update_url": "https://hc.example/api/v3/checks/1",
        "unique_key": f"key-{name}",
    } | fields


HEALTHCHECKS = {
    "checks": [
        check("Backup", schedule="15 5 * * *", tz="Europe/Riga"),
        check("", timeout=86400, tags=""),
        check("Paused", timeout=60, status="paused"),
    ]
}
#: django-celery-beat's PeriodicTask, serialized by Django REST Framework with `depth = 1`.
CRONTAB = {"minute": "0", "hour": "9", "day_of_week": "mon", "day_of_month": "*"}
BEAT = {
    "count": 2,
    "next": None,
    "previous": None,
    "results": [
        {
            "id": 1,
            "name": "Report",
            "task": "reports.send",
            "args": "[]",
            "kwargs": "{}",
            "enabled": True,
            "interval": None,
            "crontab": CRONTAB | {"month_of_year": "*", "timezone": "Europe/Berlin"},
            "total_run_count": 7,
        },
        {
            "id": 2,
            "name": "Poll",
            "task": "reports.poll",
            "enabled": False,
            "interval": {"id": 3, "every": 10, "period": "minutes"},
            "crontab": None,
        },
    ],
}
LARAVEL = {
    "data": [
        {"uuid": "9b1d", "id": 1, "title": "Sync", "frequency_minutes": 15, "is_enabled": 1},
        {"uuid": "9b1e", "id": 2, "title": "Old", "frequency_minutes": 60, "is_enabled": 0},
    ],
    "links": {"first": "/api/tasks?page=1", "last": "/api/tasks?page=1", "next": None},
    "meta": {"current_page": 1, "last_page": 1, "per_page": 15, "total": 2},
}
KUBERNETES = {
    "kind": "CronJobList",
    "apiVersion": "batch/v1",
    "metadata": {"resourceVersion": "11"},
    "items": [
        {
            "metadata": {"namespace": "prod", "name": "clean", "labels": {"team": "ops"}},
            "spec": {"schedule": "@hourly", "timeZone": "Etc/UTC", "suspend": False},
        },
        {
            "metadata": {"namespace": "test", "name": "clean"},
            "spec": {"schedule": "*/5 * * * *", "suspend": True},
        },
    ],
}
STRAPI = {
    "data": [{"id": 4, "attributes": {"title": "Digest", "cron": "0 7 * * 1", "zone": "UTC"}}],
    "meta": {"pagination": {"page": 1, "pageSize": 25, "pageCount": 1, "total": 1}},
}


def jobs_of(rest: RestServer, page: Any, mapping: str = "{}") -> list[Job]:
    rest.answer = reply(200, json.dumps(page).encode())
    given = Settings(rest_url=rest.url, rest_mapping=mapping)
    rows = read(rest, rest_mapping=given.rest_mapping)
    permissions = Permissions(tasks=("reports.*",))
    jobs = [validate_row(row, timezone="UTC", permissions=permissions) for _, row in rows]
    assert all(isinstance(job, Job) for job in jobs), jobs
    return [job for job in jobs if isinstance(job, Job)]


def facts(job: Job) -> tuple[Any, ...]:
    return job.id, job.name, job.expression, job.timezone, job.enabled, job.tags


#: The mapping's name in the docs, the page, and the jobs that it makes.
SHAPES: list[tuple[str, Any, list[tuple[Any, ...]]]] = [
    (
        "healthchecks",
        HEALTHCHECKS,
        [
            ("key-Backup", "Backup", "15 5 * * *", "Europe/Riga", True, ("prod", "backup")),
            ("key-", "nameless", "86400", "UTC", True, ()),
            ("key-Paused", "Paused", "60", "UTC", False, ("prod", "backup")),
        ],
    ),
    (
        "django-celery-beat",
        BEAT,
        [
            ("1", "Report", "0 9 * * mon", "Europe/Berlin", True, ()),
            ("2", "Poll", "10 minutes", "UTC", False, ()),
        ],
    ),
    (
        "laravel",
        LARAVEL,
        [("9b1d", "Sync", "900", "UTC", True, ()), ("9b1e", "Old", "3600", "UTC", False, ())],
    ),
    (
        "kubernetes",
        KUBERNETES,
        [
            ("prod/clean", "clean", "@hourly", "Etc/UTC", True, ("team",)),
            ("test/clean", "clean", "*/5 * * * *", "UTC", False, ()),
        ],
    ),
    ("strapi", STRAPI, [("4", "Digest", "0 7 * * 1", "UTC", True, ())]),
]


@pytest.mark.parametrize(("name", "page", "found"), SHAPES)
def test_the_shape_of_a_service(
    rest: RestServer, name: str, page: Any, found: list[tuple[Any, ...]]
) -> None:
    jobs = jobs_of(rest, page, MAPPINGS[name])
    assert [facts(job) for job in jobs] == found


def test_a_task_of_django_celery_beat_keeps_its_task_and_interval(rest: RestServer) -> None:
    job = jobs_of(rest, BEAT, MAPPINGS["django-celery-beat"])[1]
    assert job.action.model_dump()["name"] == "reports.poll"
    assert job.schedule.to_spec()["e"] == 600


def test_every_example_of_the_docs_is_tried() -> None:
    assert [name for name, *_ in SHAPES] == list(MAPPINGS)


def test_docs_name_every_function() -> None:
    table = DOCS[DOCS.index("## Functions") : DOCS.index("## Errors")]
    for name in MappingFunctions.__dict__:
        if name.startswith("_func_"):
            assert f"`{name.removeprefix('_func_')}(" in table


def test_drf_with_the_names_of_the_contract_needs_no_mapping(rest: RestServer) -> None:
    """An empty form sends empty texts, and PHP empty arrays for objects."""
    action = {"type": "http", "url": "https://example.org/", "headers": [], "body": ""}
    row = {"id": 1, "name": "x", "cron_expression": "0 9 * * *", "run_at": None, "every": ""}
    row |= {"notify": [], "retry": [], "catchup": [], "queue": "", "tags": [], "action": action}
    (job,) = jobs_of(rest, {"count": 1, "next": None, "previous": None, "results": [row]})
    assert (job.notify.on, job.retry.max_attempts, job.warnings) == (("success", "failure"), 1, ())


ROW = {"id": 1, "title": "x", "schedule": "0 9 * * *", "timeout": 60}
MANY = [ROW | {"id": number} for number in range(2500)]
GOOD = {"name": "title", "cron_expression": "schedule"}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (
            GOOD | {"name": "nme"},
            "CRON_TASKS_REST_MAPPING: `name` is `nme`, which finds nothing in any of 2,500 rows; "
            "they have: id, title, schedule, timeout",
        ),
        (GOOD | {"id": "uuid"}, "`id` is `uuid`, which finds nothing in any of 2,500 rows"),
        (
            GOOD | {"cron_expression": "cron", "every": "seconds"},
            "`cron_expression` is `cron` and `every` is `seconds`, which find nothing in any of",
        ),
        (
            GOOD | {"name": "titel || nme", "id": "uuid"},
            "`id` is `uuid`, which finds nothing in any of 2,500 rows; "
            "`name` is `titel || nme`, which finds nothing in any of 2,500 rows; they have",
        ),
        (
            GOOD | {"priority": "split(timeout, ' ')"},
            "each of 2,500 rows does not fit `priority` of CRON_TASKS_REST_MAPPING: In function "
            "split()",
        ),
        (GOOD | {"every": "divide(timeout, `0`)"}, "divide() by zero"),
    ],
)
def test_a_mapping_that_fits_no_row_is_reported_once_and_changes_nothing(
    redis: Redis, rest: RestServer, mapping: dict[str, str], words: str
) -> None:
    rest.jobs = MANY
    assert words in failure(rest, rest_mapping=mapping)
    good = Settings(rest_url=rest.url, rest_mapping=json.dumps(GOOD))
    first = Reconciler(redis, good).sync(lambda: 1e9)
    assert first
    assert len(first.changes.added) == 2500
    with structlog.testing.capture_logs() as logs:
        wrong = Settings(rest_url=rest.url, rest_mapping=json.dumps(mapping))
        report = Reconciler(redis, wrong).sync(lambda: 1e9)
    assert report
    assert report.state == "failing"
    assert words in report.detail
    assert [line["event"] for line in logs] == ["sync.failing"]
    assert Registry(redis).count() == 2500
    assert not redis.exists(keys.REJECTED)


@pytest.mark.parametrize(
    ("rows", "mapping"),
    [
        ([ROW | {"title": None}, ROW | {"id": 2}], GOOD),
        ([ROW | {"schedule": None}, ROW | {"id": 2}], GOOD),
        ([ROW | {"every": 5}], {"name": "title", "run_at": "at"}),
        ([], GOOD),
        ([ROW | {"title": 5}, ROW], GOOD | {"name": "trim(title)"}),
        ([ROW], {"timeout": "nothing"}),
    ],
)
def test_a_mapping_that_fits_some_row_harms_only_the_others(
    rest: RestServer, rows: list[Any], mapping: dict[str, str]
) -> None:
    rest.jobs = rows
    assert len(read(rest, rest_mapping=mapping)) == len(rows)


def test_tags_that_cannot_be_mapped_are_left_out(redis: Redis, rest: RestServer) -> None:
    tags = (["a"], "a b", 5, None)
    rest.jobs = [ROW | {"id": number, "tags": each} for number, each in enumerate(tags)]
    given = Settings(
        rest_url=rest.url, rest_mapping=json.dumps(GOOD | {"tags": "split(tags, ' ')"})
    )
    with structlog.testing.capture_logs() as logs:
        report = Reconciler(redis, given).sync(lambda: 1e9)
    assert report
    jobs = [desired.job for desired in report.changes.added]
    assert [job.tags for job in jobs] == [(), ("a", "b"), (), ()]
    reason = "left out: `tags`: the row does not fit `tags` of CRON_TASKS_REST_MAPPING: In function"
    assert [len(job.left_out) for job in jobs] == [1, 0, 1, 1]
    assert jobs[0].left_out[0].startswith(reason)
    (line,) = [line for line in logs if line["event"] == "sync.left_out"]
    assert (line["jobs"], line["job_id"]) == (3, "0")
