"""`heartbeat_url`: a check gets pings about the start, the success and the failure of each run."""

import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson
import pytest
from command_line import CommandLine
from helpers import NEVER_DUE, PATIENCE, wait_until
from live import Live, Service
from redis import Redis
from rest_server import RestServer, reply, silent, status
from stage import TICK, Stage

from cron_tasks.http.pings import send_ping
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.validation import validate_row
from cron_tasks.report.pings import TOO_OLD, Pinger
from cron_tasks.runs.pings import write_pings
from cron_tasks.settings import Settings
from cron_tasks.store import keys

SECRET = "s3cr3t-token"


@pytest.fixture
def check() -> Iterator[RestServer]:
    """A service that receives pings."""
    with RestServer([]) as server:
        server.answer = reply(200)
        yield server


def heard(check: RestServer) -> list[tuple[str, str]]:
    """Return the paths and run ids of the received pings, in order."""
    return [
        (urlsplit(path).path, parse_qs(urlsplit(path).query)["rid"][0])
        for method, path, _ in check.requests
        if method == "POST"
    ]


def waiting(redis: Redis) -> list[str]:
    """Return the suffixes of the pings that wait."""
    return [orjson.loads(text)["suffix"] for text in redis.lrange(keys.PINGS, 0, -1)]


def test_a_run_pings_its_start_and_its_end(
    live: Live, service: Service, check: RestServer, cli: CommandLine
) -> None:
    service.answers["bad"] = status(400)
    url = f"{check.url}/{SECRET}"
    rows = [
        {"id": job_id, "heartbeat_url": f"{url}/{job_id}", **NEVER_DUE} for job_id in ("ok", "bad")
    ]
    live.start(*rows)
    ok = cli.json("jobs", "run", "ok")["run_id"]
    wait_until(lambda: len(heard(check)) == 2, "two pings")
    bad = cli.json("jobs", "run", "bad")["run_id"]
    wait_until(lambda: len(heard(check)) == 4, "four pings")
    first, second = (str(uuid5(NAMESPACE_URL, run_id)) for run_id in (ok, bad))
    assert heard(check) == [
        (f"/{SECRET}/ok/start", first),
        (f"/{SECRET}/ok", first),
        (f"/{SECRET}/bad/start", second),
        (f"/{SECRET}/bad/fail", second),
    ]
    check.answer = status(503)
    cli.run("jobs", "run", "ok", "--wait")  # The run does not mind.
    (worker,) = (p for p in live.celery.processes if "worker" in p.log.name)
    worker.wait_for("ping.lost")
    assert "503 Service Unavailable" in worker.output
    assert SECRET not in worker.output


@pytest.mark.parametrize(
    ("fields", "code", "pinged"),
    [
        ({}, 200, ["/start", ""]),
        ({}, 400, ["/start", "/fail"]),
        ({"retry": {"max_attempts": 1}}, 500, ["/start", "/fail"]),
        ({"action": {"type": "notify"}}, 200, [""]),
        ({"heartbeat_url": None}, 200, []),
    ],
)
def test_which_pings_a_run_leaves(
    redis: Redis, rest: RestServer, fields: dict[str, Any], code: int, pinged: list[str]
) -> None:
    rest.answer = status(code)
    stage = Stage(redis, rest, **({"heartbeat_url": "http://ping.example/x"} | fields))
    stage.fire()
    stage.run()
    assert waiting(redis) == pinged


def test_attempts_share_one_start_and_one_end(redis: Redis, rest: RestServer) -> None:
    rest.answer = status(500)
    stage = Stage(redis, rest, heartbeat_url="http://ping.example/x")
    stage.fire()
    stage.run()
    assert waiting(redis) == ["/start"]
    rest.answer = reply(200)
    redis.hset(keys.OPEN, TICK, "p|2||")
    stage.run()
    assert waiting(redis) == ["/start", ""]


def test_the_end_of_a_run_whose_worker_died_is_a_failure(redis: Redis, rest: RestServer) -> None:
    url = "http://ping.example/x"
    stage = Stage(redis, rest, heartbeat_url=url, retry={"max_attempts": 1})
    stage.fire()
    stage.ledger.claim("w#1", stage.now, [TICK])
    stage.now += 60
    stage.sweep()
    assert waiting(redis) == ["/fail"]


def test_a_skipped_run_is_neither(redis: Redis) -> None:
    found = validate_row(
        {"id": 1, "name": "a", "every": 60, "heartbeat_url": "http://p.example/x"}, timezone="UTC"
    )
    for kind in ("skipped", "missed", "retry"):
        assert write_pings(found, "1@x", kind, 0.0) == ()  # type: ignore[arg-type]


def put(redis: Redis, *urls: str, at: float | None = None) -> None:
    for url in urls:
        ping = {"job_id": "1", "url": url, "suffix": "", "rid": "r", "at": at or time.time()}
        redis.rpush(keys.PINGS, orjson.dumps(ping))
    redis.expire(keys.PINGS, 600)


def test_one_url_that_hangs_holds_up_no_other_for_long(
    redis: Redis, check: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RestServer([]) as dead:
        dead.answer = silent()

        def send(url: str, method: str, rules: Sequence[str]) -> str | None:
            """Wait for the service that never answers, and not for long."""
            return send_ping(url, method, rules, 0.5 if url.startswith(dead.url) else PATIENCE)

        monkeypatch.setattr("cron_tasks.report.pings.send_ping", send)
        put(redis, *[f"{dead.url}/{number % 3}" for number in range(30)], f"{check.url}/well")
        pinger = Pinger(redis, Settings(http_allow="127.0.0.1"), time.time)
        assert pinger.send_page()
        assert len(dead.requests) <= 3, "no more than one for each URL"
    assert [path for path, _ in heard(check)] == ["/well"]
    assert not pinger.send_page()


def test_a_ping_goes_only_where_jobs_may_go(redis: Redis, check: RestServer) -> None:
    put(redis, f"{check.url}/x")
    assert Pinger(redis, Settings(), time.time).send_page()
    assert not check.requests
    row = {"id": 1, "name": "a", "every": 60, "heartbeat_url": "http://127.0.0.1:5/x"}
    errors = getattr(validate_row(row, timezone="UTC"), "errors", ())
    assert errors == (
        "`heartbeat_url`: 127.0.0.1 is a loopback address, "
        "which CRON_TASKS_HTTP_ALLOW does not allow",
    )
    allowed = Permissions(http=("127.0.0.1",))
    assert not hasattr(validate_row(row, timezone="UTC", permissions=allowed), "errors")


@pytest.mark.parametrize("wrong", ["ping.example/x", "ftp://ping.example/x", "http://", 5, "a b"])
def test_a_wrong_url_is_rejected(wrong: object) -> None:
    row = {"id": 1, "name": "a", "every": 60, "heartbeat_url": wrong}
    assert "heartbeat_url" in str(getattr(validate_row(row, timezone="UTC"), "errors", ""))


def test_an_old_ping_is_lost(redis: Redis, check: RestServer) -> None:
    put(redis, f"{check.url}/x", at=time.time() - TOO_OLD - 1)
    assert Pinger(redis, Settings(http_allow="*"), time.time).send_page()
    assert not check.requests
    assert not redis.exists(keys.PINGS)


def test_only_one_worker_sends(redis: Redis, check: RestServer) -> None:
    settings = Settings(http_allow="*")
    first, second = (Pinger(redis, settings, time.time) for _ in range(2))
    put(redis, f"{check.url}/x")
    assert first.send_page()
    put(redis, f"{check.url}/x")
    assert not second.send_page()
    assert first.send_page()
