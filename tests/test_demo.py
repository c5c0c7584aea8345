"""The demo's REST service, its file of jobs, and its bot."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import free_port, wait_until
from processes import Process
from redis import Redis

from cron_tasks.demo.bot import line
from cron_tasks.demo.job_file import SAMPLE, BrokenFile, JobFile
from cron_tasks.jobs import Job, validate

JOBS = "/api/cronjobs/"


@pytest.fixture
def file(tmp_path: Path) -> JobFile:
    file = JobFile(tmp_path / "made" / "jobs.json")
    file.refresh()
    return file


def test_the_sample_jobs_are_valid_and_show_much() -> None:
    jobs = [validate(row, timezone="UTC") for row in json.loads(SAMPLE.read_text("utf-8"))]
    for job in jobs:
        assert isinstance(job, Job), job
        assert not job.warnings
        assert not job.not_yet


def test_an_edit_is_seen_once(file: JobFile) -> None:
    assert len(file.rows) > 5
    assert not file.refresh()
    file.path.write_text('[{"id": 1}]')
    assert file.refresh()
    assert not file.refresh()
    assert file.rows == [{"id": 1}]
    file.path.write_text('[ {"id": 1} ]')
    assert not file.refresh()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"id": 1},]', r"line 1 column"),
        ('{"id": 1}', "it holds no list"),
        ("[NaN]", "Out of range float"),
        ("", "Expecting value"),
    ],
)
def test_a_broken_file_harms_nothing(file: JobFile, text: str, reason: str) -> None:
    before = file.body
    file.path.write_text(text)
    with pytest.raises(BrokenFile, match=reason):
        file.refresh()
    assert not file.refresh()
    with pytest.raises(BrokenFile, match=reason):
        file.change(lambda rows: rows.clear())
    assert file.body == before
    assert file.path.read_text() == text
    file.path.write_text("[]")
    assert file.refresh()


def test_a_file_that_is_being_replaced_is_no_change(file: JobFile) -> None:
    before = file.body
    file.path.unlink()
    assert not file.refresh()
    assert file.body == before


@pytest.fixture
def service(tmp_path: Path, redis_url: str) -> Iterator[str]:
    port = free_port()
    module = "cron_tasks.demo.rest_service"
    command = [sys.executable, "-m", module, f"--port={port}", f"--jobs={tmp_path / 'jobs.json'}"]
    (tmp_path / "jobs.json").write_text('[{"id": 7, "name": "a", "every": 60}, "no job"]')
    env = {"CRON_TASKS_REDIS_URL": redis_url, "CRON_TASKS_LOG_FORMAT": "json"}
    process = Process(command, env, tmp_path / "log")
    try:
        process.wait_for("Uvicorn running")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.end()


def test_the_service_feels_like_a_real_one(service: str, redis: Redis, tmp_path: Path) -> None:
    def call(method: str, path: str, expected: int, body: Any = None) -> Any:
        response = requests.request(method, service + path, json=body, timeout=10)
        assert response.status_code == expected, response.text
        return response.json() if response.content else None

    listed = requests.get(service + JOBS, timeout=10)
    assert [row for row in listed.json() if row != "no job"] == [
        {"id": 7, "name": "a", "every": 60}
    ]
    unchanged = {"If-None-Match": listed.headers["ETag"]}
    assert requests.get(service + JOBS, headers=unchanged, timeout=10).status_code == 304

    redis.delete("cron_tasks:poke")
    created = requests.post(service + JOBS, json={"name": "b"}, timeout=10)
    assert (created.status_code, created.json()) == (201, {"id": 8, "name": "b"})
    assert created.headers["Location"] == f"{JOBS}8"
    assert redis.lrange("cron_tasks:poke", 0, -1) == ["*"]
    assert requests.get(service + JOBS, headers=unchanged, timeout=10).status_code == 200
    call("POST", JOBS, 201, {"id": "a/b", "name": "c"})
    call("POST", JOBS, 409, {"id": "8"})
    for wrong in ("", True, None, [], 1.5, "a\nb", "x" * 201):
        call("POST", JOBS, 422, {"id": wrong})

    assert call("GET", f"{JOBS}a%2Fb", 200) == {"id": "a/b", "name": "c"}
    assert call("PATCH", f"{JOBS}7", 200, {"every": None, "run_at": "x"}) == {
        "id": 7,
        "name": "a",
        "run_at": "x",
    }
    assert call("PUT", f"{JOBS}7", 200, {"name": "z"}) == {"id": 7, "name": "z"}
    call("PUT", f"{JOBS}7", 422, {"id": 8})
    call("DELETE", f"{JOBS}7", 204)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        call(method, f"{JOBS}7", 404, {})
    saved = json.loads((tmp_path / "jobs.json").read_text())
    assert saved == ["no job", {"id": 8, "name": "b"}, {"id": "a/b", "name": "c"}]
    assert "/api/cronjobs/{job_id}" in call("GET", "/openapi.json", 200)["paths"]

    (tmp_path / "jobs.json").write_text("[")
    wait_until(lambda: "jobs.broken_file" in (tmp_path / "log").read_text(), "the complaint")
    call("DELETE", f"{JOBS}8", 409)
    assert call("GET", JOBS, 200) == saved
    redis.delete("cron_tasks:poke")
    (tmp_path / "jobs.json").write_text("[]")
    wait_until(lambda: redis.llen("cron_tasks:poke"), "the poke after an edit")
    assert call("GET", JOBS, 200) == []


def test_the_service_waits_for_a_file_that_it_can_read(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text("[")
    file = JobFile(tmp_path / "jobs.json")
    with pytest.raises(BrokenFile):
        file.refresh()
    assert file.body is None


def test_the_bot_prints_a_line_for_each_message() -> None:
    body = {"chat_id": 100, "response": "Hi\x1b[31m\nthere", "status": "success"}
    body["scheduled_for"] = "2026-11-23T09:00:00Z"
    now = 1795424400.25
    shown = line(json.dumps(body), now)
    assert "✓" in shown
    assert "100" in shown
    assert "Hi\\x1b[31m\\nthere" in shown
    assert "(0.25 s)" in shown
    assert time.strftime("%H:%M:%S", time.localtime(now)) in shown
    assert "✗" in line(json.dumps(body | {"status": "error"}), now)
    for broken in ("", "[]", "{}", "\x00", json.dumps(body | {"scheduled_for": 7})):
        assert "not understood" in line(broken, now)
