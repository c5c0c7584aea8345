"""The services of docs/rest-service.md, run without changes, and read by the program."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import PATIENCE, wait_until
from processes import GUNICORN, UVICORN, Celery, running_service
from redis import Redis

from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

DOCS = Path(__file__).parent.parent / "docs"
JOBS = "/api/cronjobs/"
COMMANDS = {
    "fastapi_jobs": [*UVICORN, "fastapi_jobs:app"],
    "drf_jobs": [*GUNICORN, "drf_jobs:application"],
    "feed_jobs": [*UVICORN, "feed_jobs:app"],
}


def write_blocks(folder: Path) -> None:
    """Write the programs of the page. Blocks of the same name belong together."""
    text = (DOCS / "rest-service.md").read_text("utf-8")
    programs: dict[str, str] = defaultdict(str)
    for name, block in re.findall(r"```python (\S+\.py)\n(.*?)```", text, re.DOTALL):
        programs[name] += block + "\n\n"
    assert set(programs) == {f"{name}.py" for name in COMMANDS}
    for name, program in programs.items():
        (folder / name).write_text(program, "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_blocks(tmp_path)
    return tmp_path


@pytest.fixture
def url(request: pytest.FixtureRequest, folder: Path, redis_url: str) -> Iterator[str]:
    """Run the service that is the parameter of the test, and return its URL."""
    command = COMMANDS[request.param]
    with running_service(command, folder, folder / "service.log", REDIS_URL=redis_url) as served:
        yield served


def served_by(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("url", names, indirect=True)


def save(url: str, **job: Any) -> int:
    """Create or replace a job, and return its id."""
    row = {"name": "Every second", "cron_expression": "* * * * * *", **job}
    answer = requests.put(f"{url}{JOBS}{row.get('id', 8)}/", json=row, timeout=PATIENCE)
    if answer.status_code == 404:  # Django REST Framework
        answer = requests.post(url + JOBS, json=row, timeout=PATIENCE)
    assert answer.ok, answer.text
    return int(answer.json()["id"])


@served_by("fastapi_jobs", "drf_jobs", "feed_jobs")
def test_a_service_of_the_page_is_synced(url: str, redis: Redis) -> None:
    job_id = save(url, cron_expression="0 9 * * *")
    reconciler = Reconciler(redis, Settings(rest_url=url))
    assert reconciler.sync(time.time).state == "ok"
    registry = Registry(redis)
    assert registry.get_job(str(job_id)).name == "Every second"
    save(url, id=job_id, name="edited", cron_expression="0 9 * * *")
    report = reconciler.sync(time.time, ids=[str(job_id)])
    assert [each.job.id for each in report.changes.changed] == [str(job_id)]
    assert registry.get_job(str(job_id)).name == "edited"


@served_by("fastapi_jobs", "drf_jobs", "feed_jobs")
def test_jobs_of_a_service_of_the_page_run(url: str, redis: Redis, celery: Celery) -> None:
    celery.env |= {"CRON_TASKS_REST_URL": url}
    celery.worker(1)
    celery.beat()
    job_id = str(save(url))
    is_done = lambda: "Every second" in (redis.lindex("queue:to_telegram", -1) or "")  # noqa: E731
    wait_until(is_done, "the first run")
    assert job_id in Registry(redis).read_index()


@served_by("drf_jobs", "feed_jobs")
def test_a_change_is_poked_after_the_commit(url: str, redis: Redis) -> None:
    job_id = save(url)
    assert redis.lrange(keys.POKE, 0, -1) == [str(job_id)]
    redis.delete(keys.POKE)
    save(url, id=job_id, name="edited")
    assert redis.lrange(keys.POKE, 0, -1) == [str(job_id)]
    redis.delete(keys.POKE)
    assert requests.delete(f"{url}{JOBS}{job_id}/", timeout=PATIENCE).status_code == 204
    assert redis.lrange(keys.POKE, 0, -1) == [str(job_id)]


#: What a Django project does, run beside the program of the page.
DJANGO = """
from unittest import TestCase
from django.db import transaction
from redis import RedisError
from drf_jobs import Change, Job, redis, relay_changes

check = TestCase()
poked = lambda: redis.lrange("cron_tasks:poke", 0, -1)
with check.assertRaises(ZeroDivisionError), transaction.atomic():
    Job.objects.create(name="a", cron_expression="@daily")
    1 / 0
check.assertEqual((poked(), Change.objects.count()), ([], 0))
with transaction.atomic():
    job = Job.objects.create(name="a", cron_expression="@daily")
    check.assertEqual(poked(), [])
check.assertEqual(poked(), [b"%d" % job.pk])

# The service died between the commit and the poke.
redis.delete("cron_tasks:poke")
check.assertEqual(Change.objects.count(), 1)
relay_changes()
check.assertEqual((poked(), Change.objects.count()), ([b"%d" % job.pk], 0))
relay_changes()
check.assertEqual(len(poked()), 1)

# Redis is away: the request is served, and the change stays noted.
redis.connection_pool.reset()
redis.connection_pool.connection_kwargs["port"] = 1
with transaction.atomic():
    job.delete()
with check.assertRaises(RedisError):
    relay_changes()
check.assertEqual(Change.objects.count(), 1)
"""


def test_the_outbox_loses_no_change(folder: Path, redis: Redis, redis_url: str) -> None:
    command = [sys.executable, "-c", DJANGO]
    environment = {**os.environ, "REDIS_URL": redis_url}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr


def changes(url: str, cursor: str, wait: float = 0) -> Any:
    params = {"cursor": cursor, "wait": str(wait)}
    return requests.get(f"{url}{JOBS}changes", params=params, timeout=PATIENCE)


@served_by("feed_jobs")
def test_the_feed_of_the_page(url: str, folder: Path) -> None:
    def cursor() -> str:
        link = requests.get(url + JOBS, timeout=PATIENCE).headers["Link"]
        (found,) = re.findall(r'^</api/cronjobs/changes\?cursor=(\d+)>; rel="changes"$', link)
        return str(found)

    start = cursor()
    row = {"id": 8, "name": "Every second", "cron_expression": "* * * * * *", "enabled": True}
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(changes, url, start, 30)
        save(url)
        first = waiting.result(60).json()
    assert first == {"changes": [{"id": 8, "job": row}], "cursor": cursor()}
    assert changes(url, first["cursor"], 0.1).json() == {"changes": [], "cursor": first["cursor"]}
    save(url, id=9)
    requests.delete(f"{url}{JOBS}8/", timeout=PATIENCE)
    since = changes(url, first["cursor"]).json()
    assert since["changes"] == [{"id": 9, "job": row | {"id": 9}}, {"id": 8, "deleted": True}]
    with closing(sqlite3.connect(folder / "jobs.db")) as database, database:
        database.execute("DELETE FROM changes WHERE number < 2")
    assert changes(url, start).status_code == 410
    assert changes(url, first["cursor"]).status_code == 200
    assert changes(url, "1000").status_code == 410


@pytest.mark.parametrize("name", ["feed_jobs", "demo"])
def test_edits_count_at_once_by_the_feed_alone(
    name: str, folder: Path, redis: Redis, redis_url: str, celery: Celery
) -> None:
    """The service cannot reach our Redis, so there are no pokes."""
    (folder / "jobs.json").write_text('[{"id": 7, "name": "old", "every": 3600}]')
    module = "cron_tasks.demo.rest_service"
    command = [module, "--port={port}"] if name == "demo" else COMMANDS[name]
    elsewhere = {"CRON_TASKS_REDIS_URL": redis_url.removesuffix("0") + "1"}
    with running_service(command, folder, folder / "service.log", **elsewhere) as url:
        first = save(url, id=7, name="old", cron_expression="0 9 * * *")
        celery.env |= {"CRON_TASKS_REST_URL": url}
        celery.worker(1)
        celery.beat()
        registry = Registry(redis)
        wait_until(registry.read_index, "the first sync")
        wait_until(lambda: redis.exists(keys.FEED), "the feed to be followed")
        # SYNC_INTERVAL is a minute, and each edit has 20 seconds.
        save(url, id=7, name="edited", cron_expression="0 9 * * *")
        wait_until(lambda: registry.get_job(str(first)).name == "edited", "the edit")
        save(url, id=8)
        wait_until(lambda: "8" in registry.read_index(), "the new job")
        is_run = lambda: "Every second" in (redis.lindex("queue:to_telegram", -1) or "")  # noqa: E731
        wait_until(is_run, "its run")
        requests.delete(f"{url}{JOBS}8/", timeout=PATIENCE).raise_for_status()
        wait_until(lambda: "8" not in registry.read_index(), "the end of the job")
        assert not redis.exists(keys.POKE)


def test_docs_lead_to_the_page() -> None:
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    assert "(docs/rest-service.md)" in readme
    assert "(rest-service.md" in (DOCS / "contract.md").read_text("utf-8")
