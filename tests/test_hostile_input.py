"""Malicious input: messages, names, files and headers (docs/security.md)."""

import inspect
import json
import pickle
import re
import time
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from command_line import Quick
from flower.views import BaseHandler
from flower_process import Flower
from helpers import NEVER_DUE, wait_until
from processes import Celery
from redis import Redis

from cron_tasks.jobs.confidential import mask_url
from cron_tasks.rest.links import _LINK
from cron_tasks.settings import Settings
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.telemetry.logs import _URL_PASSWORD

ESCAPES = "\x1b]0;pwned\x07\x1b[31m \u202egnp.exe\u2066\n2026 forged\r\x9b2J\u2028"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickled_message_is_dropped(celery: Celery, redis: Redis, tmp_path: Path) -> None:
    worker = celery.worker()
    worker.wait_for("ready")
    made = tmp_path / "made"
    body = b64encode(pickle.dumps([[Harmful(made)], {}, {}])).decode()
    headers = {"task": "cron_tasks.run_job", "id": str(uuid4()), "lang": "py"}
    properties = {"delivery_tag": "1", "body_encoding": "base64", "delivery_mode": 2}
    properties["delivery_info"] = {"exchange": "", "routing_key": "cron_tasks"}
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack"):
        message = {"body": body, "headers": headers, "properties": properties}
        message |= {"content-type": kind, "content-encoding": "binary"}
        redis.lpush("cron_tasks", json.dumps(message))
    refused = "Refusing to deserialize untrusted content"
    wait_until(lambda: worker.output.count(refused) >= 3, "three refusals")
    assert worker.alive
    assert not made.exists()


def is_harmless(text: str) -> bool:
    """Return whether a terminal shows a text without being controlled by it."""
    kept = {"\n", "\u200c", "\u200d"}
    unsafe = {"Cc", "Cf", "Zl", "Zp"}
    return not [c for c in text if unicodedata.category(c) in unsafe and c not in kept]


@pytest.mark.parametrize("text", [ESCAPES, MARKUP], ids=["escapes", "markup"])
def test_no_text_of_a_row_controls_the_terminal(
    quick: Quick, synced: Callable[..., None], text: str
) -> None:
    row = {"id": "hostile", "name": text, "tags": [text], **NEVER_DUE}
    extra = {"action": {"type": "http", "url": "http://a.example", "body": text}}
    broken = {"id": text, "name": text, "every": text, text: text, "timezone": text}
    synced(row | extra | {"description": text, text: text}, broken)
    quick.run("jobs", "pause", "hostile", "--reason", f"x {text}")
    for command in (
        *(("jobs", "list"), ("jobs", "show", "hostile"), ("jobs", "rejected"), ("runs",)),
        ("next", "hostile"),
    ):
        for more in ((), ("--json",)):
            done = quick.run(*command, *more)
            assert is_harmless(done.stdout), command
            assert "\n2026 forged" not in done.stdout, command
    for command in (("jobs", "show", text), ("runs", "show", text), ("why", text, "--at", "1h")):
        error = quick.run(*command, code=1).stderr
        assert is_harmless(error), command


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    aliases = [", ".join([f"*a{level}"] * 9) for level in range(levels)]
    lines += [f"a{level + 1}: &a{level + 1} [{aliases[level]}]" for level in range(levels - 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (bomb(12), "becomes too large by its aliases"),
        ("jobs: &a [*a]", "an alias stands within its own anchor"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
    ids=["multiplies itself", "contains itself", "calls a function"],
)
def test_a_file_of_jobs_cannot_be_a_bomb(redis: Redis, tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    report = Reconciler(redis, Settings(rest_url=path.as_uri())).sync(time.time)
    assert report is not None
    assert report.state == "failing"
    assert why in report.detail


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flower]:
    """A Flower with a login, and no Redis."""
    env = {"CRON_TASKS_REDIS_URL": "redis://:pw-of-redis@127.0.0.1:1/0"}
    started = Flower(env, tmp_path_factory.mktemp("flower"), login="ann:secret")
    yield started.wait_ready()
    started.process.end()


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/jobs", "/nowhere"])
def test_no_page_may_be_framed_or_guessed(flower: Flower, path: str) -> None:
    headers = flower.get(path).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("login", ["ü:secret", "ann:\ud55c", "ann", "", "ann:secret\x00", "\x00"])
def test_no_login_is_guessed_or_breaks_a_page(flower: Flower, login: str) -> None:
    given = "Basic " + b64encode(login.encode()).decode()
    answer = flower.get("/", Authorization=given)
    assert answer.status in (401, 500)
    assert "pw-of-redis" not in answer.text
    assert "Traceback" not in answer.text


def test_flower_compares_logins_in_constant_time() -> None:
    """This is checked for the version in tests/test_flower.py."""
    assert "compare_digest" in inspect.getsource(BaseHandler.get_current_user)


@pytest.mark.parametrize("pattern", [_LINK, _URL_PASSWORD], ids=["Link", "URL"])
def test_no_text_takes_an_expression_long(pattern: re.Pattern[str]) -> None:
    """A quadratic search would take minutes."""
    start = time.process_time()
    for begin in ("", "<a>", "://a:"):
        for part in ("<", " ", ";a ", '; a="', ";a", "://", ":", "a", "<a>;a="):
            for _ in pattern.finditer(begin + part * (60_000 // len(part)) + "!"):
                pass
    assert time.process_time() - start < 5


def test_masking_takes_no_text_long() -> None:
    start = time.process_time()
    for part in ("://", "?", "&a", "://a@", "?a=", ";", "@"):
        mask_url("://" + part * 60_000)
    assert time.process_time() - start < 5
