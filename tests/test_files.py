"""Jobs from a file or a folder: the same plan, the same refusals, and edits that apply at once."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import settings_error, wait_until
from processes import Celery
from redis import Redis
from test_stack import running

from cron_tasks.beat import files as watching
from cron_tasks.beat.files import FileWatch
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.sync.owner import service_of
from cron_tasks.sync.reconciler import Reconciler

DOCS = (Path(__file__).parent.parent / "docs" / "files.md").read_text("utf-8")
ONE = {"id": 1, "name": "one", "every": 60}
TWO = {"id": 2, "name": "two", "every": 60}


def sync(redis: Redis, path: Path, **settings: Any) -> Any:
    given = Settings(rest_url=path.as_uri(), **settings)
    report = Reconciler(redis, given).sync(time.time)
    assert report is not None
    return report


def known(redis: Redis) -> set[str]:
    return set(Registry(redis).read_index())


def test_a_json_file_is_synced_like_a_service(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "jobs with a space.json"
    path.write_text(json.dumps({"jobs": [ONE, TWO, {"id": 3}]}))
    report = sync(redis, path)
    assert (len(report.changes.added), known(redis)) == (2, {"1", "2"})
    (rejected,) = report.changes.rejected
    assert (rejected.id, rejected.place) == ("3", "row 3")
    assert sync(redis, path).changes.unchanged == 2
    path.write_text(json.dumps([ONE | {"name": "edited"}]))
    report = sync(redis, path)
    assert (len(report.changes.changed), report.changes.removed) == (1, ["2"])


def test_the_example_of_the_docs(redis: Redis, tmp_path: Path) -> None:
    """YAML 1.1 would read `on` as true."""
    path = tmp_path / "jobs.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)[0])
    report = sync(redis, path)
    plants, job = (desired.job for desired in report.changes.added)
    assert (plants.id, plants.timezone, job.notify.on) == ("plants", "Europe/Berlin", ("failure",))
    assert (job.warnings, report.changes.rejected) == ((), [])


def test_yaml_has_the_values_of_json(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "jobs.yml"
    path.write_text(
        "base: &base {every: 60, enabled: yes, tags: [off, 2026-12-24, 22:00, 08, '1']}\n"
        "items:\n"
        "- <<: *base\n"
        "  id: 7\n"
        "  name: no\n"
        "  exclude: [{from: 22:00, to: 06:00}, 2026-12-24]\n"
        "  timeout: 1.5\n"
        "  queue: ~\n"
        "  action: {type: http, url: https://example.org/, json: [1e3, -2, true, null, {a: }]}\n"
    )
    report = sync(redis, path)
    assert report.changes.rejected == []
    (job,) = (desired.job for desired in report.changes.added)
    assert (job.id, job.name, job.timeout, job.queue) == ("7", "no", 1.5, None)
    assert job.tags == ("off", "2026-12-24", "22:00", "08", "1")
    assert job.action.model_dump()["payload"] == [1000.0, -2, True, None, {"a": None}]
    assert "22:00" in str(job.schedule.to_spec()["x"])


def test_a_folder_is_read_in_the_order_of_names(redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps([TWO, ONE | {"name": "later"}]))
    (tmp_path / "a.yaml").write_text("- {id: 1, name: first, every: 60}")
    (tmp_path / ".c.json.swp").write_text("junk")
    (tmp_path / ".d.json").write_text("junk")
    (tmp_path / "README.md").write_text("junk")
    report = sync(redis, tmp_path)
    assert {desired.job.name for desired in report.changes.added} == {"first", "two"}
    (rejected,) = report.changes.rejected
    assert rejected.place == "b.json, row 2"
    assert "already used in a.yaml, row 1" in rejected.errors[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("jobs.json", '[{"id": 1, "name": "one", "every": 60}, {"id"', "it breaks off in row 2"),
        ("jobs.json", "", "has no array of jobs"),
        ("jobs.json", '{"id": 1}', "has no array of jobs"),
        ("jobs.json", "[]", "the list is empty but 1 jobs are known"),
        ("jobs.json", '{"results": [], "next": "/2"}', "names a next page"),
        ("jobs.json", '{"items": [], "total": 5}', "0 of 5 jobs arrived"),
        ("jobs.yaml", "- {id: 1, name: [", "it is not YAML: "),
        ("jobs.yaml", "- id: 1\n  name: x\n bad\n", "in line 3"),
        (
            "jobs.yaml",
            "",
            "has no array of jobs at @, results, items, jobs, data; a file is a list",
        ),
        (
            "jobs.yaml",
            "jobs: []\njobs:\n- id: 2\n",
            "the key 'jobs' stands twice in an object in line 2",
        ),
        (
            "jobs.YAML",
            "- {id: 1, name: x, id: 2}",
            "the key 'id' stands twice in an object in line 1",
        ),
        ("jobs.yaml", "- !!python/object/apply:os.system ['true']", "it is not YAML: "),
        ("jobs.yaml", "[]\n---\n[]", "expected a single document in the stream but found another"),
        (
            "jobs.yaml",
            "- every: * * * * *",
            "in line 1; a value such as `*/5 * * * *` or `@daily` has",
        ),
        (
            "jobs.yaml",
            "- {every: @daily}",
            "in line 1; a value such as `*/5 * * * *` or `@daily` has",
        ),
        ("jobs.json", None, "No such file or directory"),
    ],
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_a_file_that_is_not_whole_changes_nothing(
    redis: Redis, tmp_path: Path, name: str, text: str | None, words: str, in_folder: bool
) -> None:
    good, bad = tmp_path / "a.json", tmp_path / "z" / name
    good.write_text(json.dumps([ONE]))
    bad.parent.mkdir()
    assert sync(redis, good).state == "ok"
    if text is not None:
        bad.write_text(text)
    elif in_folder:
        bad.symlink_to(tmp_path / "nowhere")
    report = sync_again(redis, bad.parent if in_folder else bad, good)
    assert report.state in ("failing", "refused")
    assert words in report.detail
    assert str(bad) in report.detail or report.state == "refused"
    assert known(redis) == {"1"}


def test_a_named_pipe_is_not_waited_for(redis: Redis, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "jobs.json")
    assert "jobs.json: it is not a regular file" in sync(redis, tmp_path).detail


def sync_again(redis: Redis, path: Path, owner: Path) -> Any:
    """Sync from another path, which takes the registry over."""
    before, after = (Settings(rest_url=each.as_uri()) for each in (owner, path))
    assert redis.hget("cron_tasks:source", "owner") == service_of(before)
    redis.hset("cron_tasks:source", "owner", service_of(after))
    return sync(redis, path)


def test_a_big_file_is_refused(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps([ONE]))
    report = sync(redis, path, rest_max_bytes=10)
    assert "it is larger than 10 bytes (CRON_TASKS_REST_MAX_BYTES)" in report.detail


def test_the_mapping_applies(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "checks.json"
    path.write_text('{"checks": [{"uuid": "u", "title": "x", "every": 60}]}')
    mapping = {"jobs": "checks", "id": "uuid", "name": "title"}
    assert sync(redis, path, rest_mapping=mapping).changes.added[0].job.id == "u"
    wrong = sync(redis, path, rest_mapping=mapping | {"name": "nme"})
    assert f"from {path}: CRON_TASKS_REST_MAPPING: `name` is `nme`, which finds" in wrong.detail


def test_the_watch_sees_each_change_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY", 0.0)
    path = tmp_path / "jobs.json"
    path.write_text("[]")
    watch = FileWatch(tmp_path)

    def changed() -> list[bool]:
        return [watch.has_changed(), watch.has_changed()]

    assert changed() == [True, False]
    path.write_text("[1]")
    assert changed() == [True, False]
    (tmp_path / "new").write_text("[2]")
    (tmp_path / "new").replace(path)
    assert changed() == [True, False]
    os.utime(path, ns=(1, 1))
    assert changed() == [True, False]
    (tmp_path / "other.yaml").write_text("[]")
    assert changed() == [True, False]
    path.unlink()
    assert changed() == [True, False]
    watch = FileWatch(tmp_path / "nowhere.json")
    assert changed() == [True, False]


def test_an_edit_counts_at_once(redis: Redis, celery: Celery, tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("- {id: 1, name: one, every: 1}")
    celery.env = {**celery.env, "CRON_TASKS_REST_URL": path.as_uri()}
    celery.env |= {"CRON_TASKS_SYNC_INTERVAL": "3600"}
    worker = celery.worker(2)
    celery.beat()
    wait_until(lambda: redis.llen("queue:to_telegram") > 1, "the runs")
    path.write_text("- {id: 1, name: edited, every: 1}\n- {id: 2, name: two, every: 3600}")
    wait_until(lambda: known(redis) == {"1", "2"}, "the edit")
    wait_until(lambda: "edited" in redis.lindex("queue:to_telegram", -1), "a run with it")
    path.write_text("- {id: 1, name: [")
    wait_until(lambda: "sync.failing" in worker.output, "the error")
    path.unlink()
    wait_until(lambda: "No such file" in worker.output, "the other error")
    assert known(redis) == {"1", "2"}


def test_up_runs_jobs_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text(json.dumps([ONE | {"every": 1, "name": "From a file"}]))
    url = (tmp_path / "jobs.json").as_uri()
    given = {"CRON_TASKS_REST_URL": url, "CRON_TASKS_REST_REPORT_PATH": "/{id}"}
    with running(tmp_path, "--workers=1", **given, CRON_TASKS_CHAT_ID="1") as system:
        system.wait_for("All ready")
        system.wait_for("From a file")
        assert f"rest      {url}" in system.output or url in system.output
        assert "CRON_TASKS_REST_REPORT_PATH (environment) has no effect" in system.output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://etc/jobs.json", "a file has the form file:///path/to/jobs.json"),
        ("file:", "a file has the form"),
        ("file:///jobs.json?x", "? is written %3F"),
        ("/etc/jobs.json", "it has to start with http:// or https:// and a host"),
    ],
)
def test_a_wrong_url_of_a_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    error = settings_error(monkeypatch, rest_url=url)
    assert error.startswith("CRON_TASKS_REST_URL")
    assert words in error
