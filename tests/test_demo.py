"""The demo's REST service, its file of jobs, and its bot."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import requests
from fastapi import HTTPException
from helpers import free_port, wait_until
from processes import Process
from redis import Redis
from rich.cells import cell_len

from cron_tasks.demo.bot import format_notification
from cron_tasks.demo.rest_service import SAMPLE, JobFile
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row

JOBS = "/api/cronjobs/"


def test_the_sample_jobs_are_valid_and_show_much() -> None:
    jobs = [validate_row(row, timezone="UTC") for row in json.loads(SAMPLE.read_text("utf-8"))]
    for job in jobs:
        assert isinstance(job, Job), job
        assert not job.warnings


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, changes: list[str]) -> JobFile:
    return JobFile(tmp_path / "jobs.json", lambda: changes.append("changed"))


def test_an_edit_is_seen_once(file: JobFile, changes: list[str]) -> None:
    assert len(file.rows) > 5
    file.refresh()
    assert len(changes) == 1
    file.path.write_text('[{"id": 1}]')
    file.refresh()
    file.refresh()
    assert len(changes) == 2
    assert file.rows == [{"id": 1}]
    file.path.unlink()  # an editor is about to replace it
    file.refresh()
    assert len(changes) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"id": 1},]', "line 1 column"),
        ('{"id": 1}', "is not a list"),
        ("", "Expecting value"),
    ],
)
def test_a_broken_file_harms_nothing(
    file: JobFile, changes: list[str], text: str, reason: str
) -> None:
    before = file.rows
    file.path.write_text(text)
    file.refresh()
    with pytest.raises(HTTPException, match=reason):
        file.save([])
    assert (file.rows, len(changes)) == (before, 1)
    assert file.path.read_text() == text
    file.path.write_text("[]")
    file.refresh()
    assert (file.rows, file.fault) == ([], None)


@pytest.fixture
def service(tmp_path: Path, redis_url: str) -> Iterator[str]:
    port = free_port()
    module = "cron_tasks.demo.rest_service"
    command = [sys.executable, "-m", module, f"--port={port}", f"--jobs={tmp_path / 'jobs.json'}"]
    (tmp_path / "jobs.json").write_text('[{"id": 7, "name": "a", "every": 60}, "no job"]')
    env = {"CRON_TASKS_REDIS_URL": redis_url, "CRON_TASKS_LOG_FORMAT": "json"}
    process = Process(command, env, tmp_path / "log")
    try:
        process.wait_for("Uvicorn running", 90)
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
    redis.delete("cron_tasks:poke")
    before = (tmp_path / "jobs.json").read_bytes()
    call("PATCH", f"{JOBS}7", 200, {"last_status": "ok", "config_error": "no"})
    reported = call("PATCH", f"{JOBS}7", 200, {"config_error": None})
    assert reported == call("GET", f"{JOBS}7", 200) == call("GET", JOBS, 200)[0]
    assert reported.items() >= {"run_at": "x", "last_status": "ok", "config_error": None}.items()
    assert (tmp_path / "jobs.json").read_bytes() == before, "reports are not for the file"
    assert not redis.exists("cron_tasks:poke")
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
    (tmp_path / "jobs.json").write_text("[")
    wait_until(lambda: requests.get(service + JOBS, timeout=10).status_code == 503, "a refusal")


def test_the_bot_prints_a_line_for_each_message() -> None:
    body = {"chat_id": 100, "response": "Hi\x1b[31m\nthere", "status": "success"}
    body["scheduled_for"] = "2026-11-23T09:00:00Z"
    now = 1795424400.25
    shown = format_notification(body, now)
    assert "✓" in shown
    assert "100" in shown
    assert "Hi\\x1b[31m\\nthere" in shown
    assert "(0.25 s)" in shown
    assert time.strftime("%H:%M:%S", time.localtime(now)) in shown
    assert "✗" in format_notification(body | {"status": "error"}, now)
    long = body | {"response": "水やり" * 40}
    for width in (60, 80, 200):
        assert cell_len(click.unstyle(format_notification(long, now, width))) <= width
    for broken in ({}, {"status": "\x00"}, body | {"scheduled_for": 7}):
        assert "unreadable notification" in format_notification(broken, now)
