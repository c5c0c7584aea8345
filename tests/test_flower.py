"""Access to Flower 2.2: its real command, started with options from every source."""

import http.client
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import PATIENCE, free_port
from processes import Process

from cron_tasks.flower.access import find_fault, is_loopback

LOGIN = {"Authorization": "Basic " + b64encode(b"me:secret").decode()}
Start = Callable[..., Process]


def test_the_version_of_flower_whose_insides_we_know() -> None:
    """flower/inside.py lists the internals that it uses."""
    assert version("flower").startswith("2.2.")


@pytest.fixture
def start(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts `celery -A cron_tasks flower` in an empty folder."""
    processes: list[Process] = []
    for name in [name for name in os.environ if name.startswith("FLOWER_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **env: str) -> Process:
        command = [sys.executable, "-m", "celery", "-A", "cron_tasks", "flower", *arguments]
        env = {"CRON_TASKS_REDIS_URL": redis_url, "CRON_TASKS_LOG_FORMAT": "json", **env}
        log = tmp_path / f"flower-{len(processes)}.log"
        processes.append(Process(command, env, log, cwd=tmp_path))
        return processes[-1]

    yield run
    for process in processes:
        process.end()


def status(port: int, path: str, **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        ([], {}),
        (["--address=0.0.0.0"], {}),
        (["--address=::"], {}),
        (["--basic-auth="], {}),
        ([], {"FLOWER_BASIC_AUTH": ""}),
        (["--auth=me@example.com"], {}),
        (["--auth_provider=flower.views.auth.GithubLoginHandler"], {}),
        (["--address="], {"FLOWER_ADDRESS": "127.0.0.1"}),
    ],
)
def test_an_open_flower_does_not_start(
    start: Start, arguments: list[str], env: dict[str, str]
) -> None:
    port = free_port()
    process = start(f"--port={port}", *arguments, **env)
    assert process.popen.wait(PATIENCE) == 1, process.output
    (sentence,) = process.output.splitlines()
    assert "--basic-auth=me:secret or FLOWER_BASIC_AUTH" in sentence
    assert "of the form user:password" in sentence or "--address=127.0.0.1" in sentence


@pytest.mark.parametrize(
    ("arguments", "env", "config"),
    [
        (["--basic_auth=me:secret"], {}, ""),
        (["--basic-auth=me:secret,you:secret"], {}, ""),
        ([], {"FLOWER_BASIC_AUTH": "me:secret"}, ""),
        ([], {}, 'basic_auth = ["me:secret"]'),
        (["--conf=other.py"], {}, 'basic_auth = ["me:secret"]'),
        (["--address=::1"], {}, ""),
        (["--address=localhost"], {}, ""),
        ([], {}, "address = '127.0.0.1'"),
        (["--unix-socket=socket"], {}, ""),
        (
            [
                "--auth=me@example.com",
                "--auth-provider=flower.views.auth.GithubLoginHandler",
                "--oauth2_key=k",
                "--oauth2_secret=s",
                "--oauth2_redirect_uri=http://localhost/login",
            ],
            {},
            "",
        ),
    ],
)
def test_a_protected_flower_starts(
    start: Start, tmp_path: Path, arguments: list[str], env: dict[str, str], config: str
) -> None:
    if config:
        name = "other.py" if arguments else "flowerconfig.py"
        (tmp_path / name).write_text(config)
    process = start("--port=0", *arguments, **env)
    process.wait_for("Visit me")


def test_behind_a_login_other_names_are_fine(start: Start) -> None:
    port = free_port()
    start(f"--port={port}", "--basic-auth=me:secret").wait_for("Visit me")
    assert status(port, "/workers") == 401
    assert status(port, "/workers", Host="flower.example.com", **LOGIN) == 200


@pytest.mark.parametrize("prefix", ["", "/flower"])
def test_on_loopback_the_name_is_checked(start: Start, prefix: str) -> None:
    port = free_port()
    options = ["--address=127.0.0.1", f"--port={port}"]
    start(*options, *([f"--url_prefix={prefix}"] if prefix else [])).wait_for("Visit me")
    for path in ("/workers", "/metrics", "/healthcheck"):
        for ours in ("127.0.0.1", f"localhost:{port}", f"LOCALHOST:{port}", "[::1]:80"):
            assert status(port, prefix + path, Host=ours) == 200
        for foreign in (
            "evil.example",
            f"evil.example:{port}",
            "localhost.evil.example",
            "10.0.0.1",
        ):
            assert status(port, prefix + path, Host=foreign) == 403


def test_a_reverse_proxy_may_pass_on_its_name(start: Start) -> None:
    port = free_port()
    options = ["--address=127.0.0.1", f"--port={port}", "--basic-auth=me:secret"]
    direct = start(*options)
    direct.wait_for("Visit me")
    assert status(port, "/workers", Host="flower.example.com", **LOGIN) == 403
    direct.kill()
    start(*options, "--xheaders").wait_for("Visit me")
    assert status(port, "/workers", Host="flower.example.com", **LOGIN) == 200


def test_its_help_needs_no_login(start: Start) -> None:
    assert start("--help").popen.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        ({}, False),
        ({"basic_auth": ["me:secret"]}, True),
        ({"basic_auth": ["me:se:cret"]}, True),
        ({"basic_auth": ["me:secret", ""]}, False),
        ({"basic_auth": ["me"]}, False),
        ({"basic_auth": [":secret"]}, False),
        ({"basic_auth": ["me:"]}, False),
        ({"basic_auth": [""], "address": "127.0.0.1"}, False),
        ({"auth": "a@b.c"}, False),
        ({"auth_provider": "x"}, False),
        ({"auth": "a@b.c", "auth_provider": "x"}, True),
        ({"address": "10.0.0.1"}, False),
        ({"address": "127.0.0.1"}, True),
        ({"unix_socket": "/run/flower"}, True),
    ],
)
def test_which_options_protect_flower(changed: dict[str, object], starts: bool) -> None:
    options = {"basic_auth": None, "auth": "", "auth_provider": None, "address": ""}
    options |= {"port": 5555, "unix_socket": "", "xheaders": False}
    assert (find_fault(SimpleNamespace(**options | changed)) is None) == starts


def test_which_addresses_are_loopback() -> None:
    for local in ("127.0.0.1", "127.1.2.3", "localhost", "::1", "::ffff:127.0.0.1"):
        assert is_loopback(local)
    for not_local in ("", "0.0.0.0", "::", "10.0.0.1", "no-such-host.invalid", "\ud800"):
        assert not is_loopback(not_local)
