"""An action on a real worker: its request, its outcome, and the secret that is never stored."""

import json
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from helpers import NEVER_DUE, wait_until
from processes import Celery
from redis import Redis
from rest_server import Handler, RestServer, reply

from cron_tasks.actions import BUILT_IN_PERFORMERS, find_place
from cron_tasks.jobs.actions import waits_on_loop
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.settings import Settings

SECRET = "s3cret-Value"


def dump(redis: Redis) -> str:
    """Return everything in Redis. A key may go away between two commands."""
    commands: dict[str, Any] = {
        "none": lambda key: None,
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
        "zset": lambda key: redis.zrange(key, 0, -1),
        "set": redis.smembers,
        "string": redis.get,
        "stream": redis.xrange,
    }
    return str([(key, commands[redis.type(key)](key)) for key in redis.scan_iter(count=1000)])


def first_told(redis: Redis) -> dict[str, Any]:
    """Return the first notification of each job."""
    messages = map(json.loads, reversed(redis.lrange("queue:to_telegram", 0, -1)))
    return {each["job_id"]: each for each in messages}


def test_a_job_calls_a_service_and_its_secret_stays_between_them(
    redis: Redis, rest: RestServer, celery: Celery, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "KEY").write_text(f"{SECRET}\n")

    codes = {"/ok": 200, "/bad": 400}

    def answer(handler: Handler) -> bool:
        code = codes.get(handler.path)
        return code is not None and reply(code, handler.headers["x-key"].encode())(handler)

    rest.answer = answer
    action = {"type": "http", "headers": {"X-Key": "${secret:KEY}"}}
    rest.jobs = [
        {"id": name, "name": name, "every": 1, "action": action | {"url": f"{rest.url}/{name}"}}
        for name in ("ok", "bad")
    ]
    folder = str(tmp_path / "secrets")
    env = {"CRON_TASKS_HTTP_ALLOW": "127.0.0.1", "CRON_TASKS_SECRETS_DIR": folder}
    worker, beat = celery.worker(**env), celery.beat(**env)
    messages = wait_until(lambda: len(told := first_told(redis)) == 2 and told, "both messages")
    assert messages["ok"]["status"] == "success"
    assert messages["bad"]["error"] == f"GET {rest.url}/bad: answered 400 Bad Request"
    history = json.loads(Ledger(redis, Settings()).history("bad")[0])
    assert (history["status"], history["error"]) == ("failed", messages["bad"]["error"])
    asked = [headers for _, path, headers in rest.requests if path in codes]
    calls = {headers["idempotency-key"]: headers for headers in asked}
    assert {message["run_id"] for message in messages.values()} <= calls.keys()
    assert {headers["x-key"] for headers in calls.values()} == {SECRET}
    assert SECRET not in dump(redis)
    assert "${secret:KEY}" in dump(redis)
    assert SECRET not in worker.output + beat.output


@pytest.mark.parametrize("kind", BUILT_IN_PERFORMERS)
def test_what_waits_is_a_coroutine(kind: str) -> None:
    """Beat and the workers use this to put runs into messages, and to launch them on the event
    loop."""
    assert waits_on_loop(kind) == iscoroutinefunction(BUILT_IN_PERFORMERS[kind])


def test_a_host_is_one_place_in_every_spelling() -> None:
    urls = ("http://a.test/x", "HTTP://u:p@A.TEST:80/y?z", "http://a.test./", "http://a%2Etest/")
    jobs = [validate_row(NEVER_DUE | row_of(url), timezone="UTC") for url in urls]
    assert {find_place(job) for job in jobs if isinstance(job, Job)} == {"a.test:80"}


def row_of(url: str) -> dict[str, Any]:
    return {"id": 1, "name": "x", "action": {"type": "http", "url": url}}
