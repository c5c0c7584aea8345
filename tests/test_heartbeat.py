"""The heartbeat: the leading beat requests a URL only while everything works."""

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from helpers import free_port, wait_for_progress, wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer, reply, silent, status

from cron_tasks.http.pings import add_to_path, origin_of, send_ping
from cron_tasks.store import keys

TOKEN = "0123-4567-89ab-secret"


@pytest.fixture
def counter() -> Iterator[RestServer]:
    """A service that counts signs of life."""
    with RestServer([]) as server:
        server.answer = reply(200)
        yield server


def path_of(server: RestServer) -> str:
    return f"{server.url}/ping/{TOKEN}"


@pytest.mark.parametrize(
    ("url", "pinged"),
    [
        ("https://p.io/abc", "https://p.io/abc/start?rid=1"),
        ("https://p.io/abc/", "https://p.io/abc/start?rid=1"),
        ("https://p.io", "https://p.io/start?rid=1"),
        ("http://p.io:8/k/s?create=1#x", "http://p.io:8/k/s/start?create=1&rid=1"),
    ],
)
def test_a_suffix_goes_to_the_path(url: str, pinged: str) -> None:
    assert add_to_path(url, "/start", "rid=1") == pinged
    assert origin_of(url) == url.split("/abc")[0].split("/k")[0]


def test_a_ping_that_fails_says_why_without_its_path(counter: RestServer) -> None:
    assert send_ping(path_of(counter), "POST") is None
    assert counter.requests[-1][:2] == ("POST", f"/ping/{TOKEN}")
    counter.answer = status(503)
    assert send_ping(path_of(counter), "GET") == "answered 503 Service Unavailable"
    counter.answer = silent()
    assert send_ping(path_of(counter), "GET", timeout=0.3) == "no answer within 0.3 s"
    refused = "127.0.0.1 is a loopback address, which CRON_TASKS_HTTP_ALLOW does not allow"
    assert send_ping(path_of(counter), "GET", rules=()) == refused
    assert send_ping(path_of(counter), "GET", ("127.0.0.0/8",), 0.3) == "no answer within 0.3 s"
    gone = f"http://127.0.0.1:{free_port()}/{TOKEN}"
    assert send_ping(gone, "GET") == "the connection was refused"
    wrong = [f"http://nowhere.invalid/{TOKEN}", f"ftp://x/{TOKEN}", f"http://[1/{TOKEN}", "x"]
    faults = [send_ping(url, "GET") for url in (*wrong, f"https://127.0.0.1:{counter.port}/")]
    assert all(faults)
    assert TOKEN not in str(faults)


def test_pings_come_only_while_everything_works(
    redis: Redis, rest: RestServer, celery: Celery, counter: RestServer
) -> None:
    rest.jobs = [{"id": 1, "name": "a", "every": 3600}]
    heartbeat = {
        "CRON_TASKS_HEARTBEAT_URL": path_of(counter),
        "CRON_TASKS_HEARTBEAT_INTERVAL": "1",
        "CRON_TASKS_SYNC_INTERVAL": "1",
    }
    beat = celery.beat(**heartbeat)
    beat.wait_for("heartbeat.withheld")
    standby = celery.beat(**heartbeat)
    assert not counter.requests
    worker = celery.worker(CRON_TASKS_SYNC_INTERVAL="1")
    wait_until(lambda: len(counter.requests) >= 2, "two pings")
    assert {each[:2] for each in counter.requests} == {("GET", f"/ping/{TOKEN}")}
    rest.answer = status(500)
    wait_until(lambda: redis.hget(keys.SOURCE, "state") == "failing", "a sync that fails")

    def last_line() -> str:
        """Return the newest line about the heartbeat. Either beat may lead by now."""
        lines = [line for each in (beat, standby) for line in each.output.splitlines()]
        found = [line for line in lines if "heartbeat" in line]
        return max(found, key=lambda line: json.loads(line)["timestamp"])

    wait_until(lambda: "failing" in last_line(), "silence")
    before = len(counter.requests)
    rest.answer = None
    wait_until(lambda: len(counter.requests) > before, "pings again")
    worker.terminate()
    assert all(TOKEN not in process.output for process in (beat, standby, worker))


def test_a_url_that_hangs_delays_no_tick(
    redis: Redis, rest: RestServer, celery: Celery, counter: RestServer
) -> None:
    counter.answer = silent()
    rest.jobs = [{"id": 1, "name": "a", "every": 1, "chat_id": 1}]
    celery.worker()
    celery.beat(CRON_TASKS_HEARTBEAT_URL=path_of(counter), CRON_TASKS_HEARTBEAT_INTERVAL="1")
    wait_for_progress(
        lambda: redis.llen("queue:to_telegram"),
        lambda: len(counter.requests),
        "ticks while one ping hangs, and no other is sent",
    )


def test_two_changes_are_two_lines(counter: RestServer, celery: Celery, rest: RestServer) -> None:
    counter.answer = status(500)
    celery.worker()
    beat = celery.beat(CRON_TASKS_HEARTBEAT_URL=path_of(counter), CRON_TASKS_HEARTBEAT_INTERVAL="1")
    wait_until(lambda: len(counter.requests) >= 3, "three pings")
    counter.answer = reply(200)
    beat.wait_for("heartbeat.sent")
    lines = [json.loads(line) for line in beat.output.splitlines() if "heartbeat." in line]
    told = [{name: line[name] for name in line if name != "timestamp"} for line in lines]
    assert "heartbeat.failed" in [line["event"] for line in told]
    assert all(one != another for one, another in pairwise(told))
