"""A Redis that listens on a Unix socket: every part of the system reaches it."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from command_line import CommandLine
from helpers import PATIENCE, wait_until
from processes import Valkey
from rest_server import RestServer
from test_stack import running

from cron_tasks.store.client import connect


@pytest.fixture
def socket_url(tmp_path: Path) -> Iterator[str]:
    """The URL of another database, with a password that a URL has to encode."""
    with tempfile.TemporaryDirectory() as short:  # A path of a socket has at most 107 bytes.
        path = Path(short) / "r+1.sock"
        server = Valkey(tmp_path / "valkey", socket=path)
        with connect(server.url) as redis:
            redis.config_set("requirepass", "p/w")
        quoted = str(path).replace("+", "%2B")
        yield f"unix://default:p%2Fw@{quoted}?db=3"
        with connect(server.url.replace("//", "//:p%2Fw@")) as redis:
            redis.config_set("requirepass", "")
        server.stop()


def test_the_whole_system_on_a_unix_socket(
    tmp_path: Path, socket_url: str, rest: RestServer
) -> None:
    rest.jobs = [{"id": 1, "name": "x", "every": 1}]
    given = {"CRON_TASKS_REDIS_URL": socket_url, "CRON_TASKS_REST_URL": rest.url}
    with running(tmp_path, **given, CRON_TASKS_CHAT_ID="1") as system:
        system.wait_for("All ready")
        with connect(socket_url) as redis:
            wait_until(lambda: redis.llen("queue:to_telegram") > 2, "three runs")
            assert redis.connection_pool.connection_kwargs["db"] == 3
            rest.jobs[0]["name"] = "edited"
            redis.lpush("cron_tasks:poke", "*")
            last = json.loads
            wait_until(
                lambda: "edited" in last(redis.lindex("queue:to_telegram", -1))["response"],
                "the edit",
            )
        commands = CommandLine(tmp_path, REDIS_URL=socket_url, REST_URL=rest.url)

        def check() -> dict[str, Any] | None:
            done = commands.attempt("doctor", "--json")
            rows = json.loads(done.stdout)
            return None if done.returncode else {each["check"]: each for each in rows}

        # On a busy machine a job may just be overdue, or an answer of a worker may be late.
        findings = wait_until(check, "every check to pass")
        assert findings["redis"]["status"] == "ok"
        assert "unix://default:***@" in findings["redis"]["detail"]
        assert findings["workers"]["status"] == "ok"
        (page,) = re.findall(r"flower +(http://me:\S+)", system.output)
        assert requests.get(f"{page}/broker", timeout=PATIENCE).status_code == 200
        assert "p%2Fw" not in system.output
        assert "Traceback" not in system.output


def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    commands = CommandLine(tmp_path, REDIS_URL="unix:///nowhere/r.sock", REST_URL="http://h")
    error = commands.error("jobs", "list")
    assert "Redis at unix:///nowhere/r.sock?db=0" in error
    assert "No such file or directory" in error
