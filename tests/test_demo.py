"""The demo's REST service, its file of jobs, and its bot."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click
import pytest
import requests
from fastapi import HTTPException
from helpers import PATIENCE, free_port, wait_until
from processes import Process
from redis import Redis
from rich.cells import cell_len

from cron_tasks.demo.bot import format_notification
from cron_tasks.demo.change_feed import REMEMBERED, ChangeFeed
from cron_tasks.demo.job_file import SAMPLE, JobFile, list_changed
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row

JOBS = "/api/cronjobs/"


def test_the_sample_jobs_are_valid_and_show_much() -> None:
    jobs = [validate_row(row, timezone="UTC") for row in json.loads(SAMPLE.read_text("utf-8"))]
    for job in jobs:
        assert isinstance(job, Job), job
        assert not job.warnings


@pytest.fixture
def changes() -> list[Any]:
    return []


@pytest.fixture
def file(tmp_path: Path, changes: list[Any]) -> JobFile:
    return JobFile(tmp_path / "jobs.json", changes.append)


def test_an_edit_is_seen_once(file: JobFile, changes: list[Any]) -> None:
    assert len(file.rows) > 5
    file.refresh()
    assert len(changes) == 1
    file.path.write_text('[{"id": 1}]')
    file.refresh()
    file.refresh()
    assert len(changes) == 2
    assert file.rows == [{"id": 1}]
    assert changes[0] is None
    assert {"1", "2", "stand-up"} <= set(changes[1])
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
    file: JobFile, changes: list[Any], text: str, reason: str
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


@dataclass(frozen=True)
class Served:
    url: str
    process: Process


@pytest.fixture
def served(tmp_path: Path, redis_url: str) -> Iterator[Served]:
    port = free_port()
    module = "cron_tasks.demo.rest_service"
    command = [sys.executable, "-m", module, f"--port={port}", f"--jobs={tmp_path / 'jobs.json'}"]
    (tmp_path / "jobs.json").write_text('[{"id": 7, "name": "a", "every": 60}, "no job"]')
    env = {"CRON_TASKS_REDIS_URL": redis_url, "CRON_TASKS_LOG_FORMAT": "json"}
    process = Process(command, env, tmp_path / "log")
    try:
        process.wait_for("Uvicorn running")
        yield Served(f"http://127.0.0.1:{port}", process)
    finally:
        process.end()


@pytest.fixture
def service(served: Served) -> str:
    return served.url


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
    assert redis.lrange("cron_tasks:poke", 0, -1) == ["8"]
    assert requests.get(service + JOBS, headers=unchanged, timeout=10).status_code == 200
    call("POST", JOBS, 201, {"id": "a/b", "name": "c"})
    call("POST", JOBS, 409, {"id": "8"})
    for wrong in ("", True, None, [], 1.5, "a\nb", "x" * 201):
        call("POST", JOBS, 422, {"id": wrong})

    for path in (f"{JOBS}a%2Fb", f"{JOBS}a%2Fb/"):
        assert call("GET", path, 200) == {"id": "a/b", "name": "c"}
    assert call("PUT", f"{JOBS}8/", 200, {"name": "b"}) == {"id": 8, "name": "b"}
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


def link_of(service: str) -> str:
    header = requests.get(service + JOBS, timeout=10).headers["Link"]
    target, _, relation = header.partition(">; ")
    assert relation == 'rel="changes"'
    return service + target.removeprefix("<")


def follow(service: str, cursor: str, wait: float = 0) -> Any:
    url = f"{service}{JOBS}changes"
    answer = requests.get(url, params={"cursor": cursor, "wait": str(wait)}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_feed_of_changes(service: str, tmp_path: Path) -> None:
    link = link_of(service)
    first = requests.get(link, timeout=10).json()
    cursor = first["cursor"]
    assert first == {"changes": [], "cursor": cursor}
    assert link.endswith(f"?cursor={cursor}")

    requests.post(service + JOBS, json={"name": "b"}, timeout=10)
    requests.patch(f"{service}{JOBS}7", json={"name": "z"}, timeout=10)
    requests.patch(f"{service}{JOBS}7", json={"last_status": "ok"}, timeout=10)
    seen = follow(service, cursor)
    assert seen["changes"] == [
        {"id": "8", "job": {"id": 8, "name": "b"}},
        {"id": "7", "job": {"id": 7, "name": "z", "every": 60, "last_status": "ok"}},
    ]
    assert follow(service, seen["cursor"])["changes"] == []
    requests.delete(f"{service}{JOBS}8", timeout=10)
    assert follow(service, seen["cursor"])["changes"] == [{"id": "8", "deleted": True}]
    assert follow(service, cursor)["changes"][0] == {"id": "8", "deleted": True}

    rows = json.loads((tmp_path / "jobs.json").read_text())
    at = follow(service, cursor)["cursor"]
    (tmp_path / "jobs.json").write_text(json.dumps([*rows, {"id": "by-hand", "name": "c"}]))
    by_hand = {"id": "by-hand", "job": {"id": "by-hand", "name": "c"}}
    assert follow(service, at, 20)["changes"] == [by_hand]

    (tmp_path / "jobs.json").write_text(json.dumps([*rows, "another without an id"]))
    wait_until(lambda: requests.get(link, timeout=10).status_code == 410, "a row without an id")
    for wrong in ("", "x", "0-0", f"{cursor}1", cursor.replace("-", "--")):
        params = {"cursor": wrong, "wait": "20"}
        answer = requests.get(f"{service}{JOBS}changes", params=params, timeout=10)
        assert answer.status_code == 410
        assert answer.json() == {"detail": "This cursor is too old. Read the list again"}
    assert requests.get(link_of(service), timeout=10).json()["changes"] == []


def test_a_request_that_waits_gets_a_change_at_once(service: str) -> None:
    cursor = link_of(service).rpartition("=")[2]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(follow, service, cursor, 60) for _ in range(2)]
        requests.post(service + JOBS, json={"id": "new", "name": "n"}, timeout=10)
        for each in waiting:
            assert each.result(20)["changes"] == [{"id": "new", "job": {"id": "new", "name": "n"}}]
    nothing = follow(service, link_of(service).rpartition("=")[2], 0.3)
    assert nothing["changes"] == []


def has_read_all(port: int) -> bool:
    """Return whether the server on a port has read all bytes of its only connection."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return [row[4].partition(":")[2] for row in ours] == ["00000000"]


def test_a_request_that_waits_does_not_hold_up_the_end(served: Served) -> None:
    link = link_of(served.url)
    port = int(served.url.rpartition(":")[2])
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", link.removeprefix(served.url) + "&wait=60")
        wait_until(lambda: has_read_all(port), "the request")
        assert served.process.terminate() in (0, -15)
        assert json.loads(connection.getresponse().read())["changes"] == []


def test_a_feed_remembers_a_bounded_number_of_changes() -> None:
    feed = ChangeFeed()
    start = feed.cursor
    feed.add(["1", "2", "1"])
    assert feed.ids_since(start) == ["1", "2"]
    feed.add(str(number) for number in range(REMEMBERED - 3))
    assert len(feed.ids_since(start) or []) == REMEMBERED - 3
    feed.add(["x"])
    assert feed.ids_since(start) is None
    assert feed.ids_since(feed.cursor) == []
    assert ChangeFeed().ids_since(feed.cursor) is None


def test_what_changed_between_two_lists() -> None:
    a, b, other = {"id": 1, "name": "a"}, {"id": 2}, {"id": 1, "name": "b"}
    assert list_changed([a, b], [b, a]) == []
    assert list_changed([a], [a, b]) == list_changed([a, b], [a]) == ["2"]
    assert list_changed([a, b], [other, b]) == ["1"]
    assert list_changed([a, other], [a]) == []
    assert list_changed([a, "x"], [a, "y"]) is None
    assert list_changed([a], [a, {"id": "\n"}]) is None


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
