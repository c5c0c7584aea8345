"""The `http` action against real servers that answer, refuse, redirect and delay."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from helpers import PATIENCE, free_port
from helpers import perform as perform_action
from rest_server import (
    Answer,
    Handler,
    RestServer,
    drip,
    first,
    huge,
    redirect,
    reply,
    reset,
    silent,
    status,
    truncated,
)

from cron_tasks.actions import idle
from cron_tasks.errors import ActionFailed
from cron_tasks.http.retry_after import read_retry_after
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings

SECRETS = {"KEY": "s3cret/Ä \"q'", "PASSWORD": "p:w@d&<", "TOKEN": "tok-123", "LINES": "a\nb"}
SETTING = "CRON_TASKS_REST_TOKEN"
NAME = 'Wäter "7" & co'
Perform = Callable[..., str | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value + "\n")
    (tmp_path / SETTING).write_text("of-the-settings")
    (tmp_path / "EMPTY").write_text("\n")
    return tmp_path


@pytest.fixture
def perform(rest: RestServer, folder: Path) -> Perform:
    """Run an `http` action, by default a GET to `rest`. Return the output that is kept."""
    rest.answer = rest.answer or reply(200, b"fine")

    def run(
        url: str = "/hook",
        timeout: float = PATIENCE,
        allow: str = "127.0.0.1",
        keep: bool = False,
        **action: Any,
    ) -> Any:
        fields = {"type": "http", "url": rest.url + url if url.startswith("/") else url, **action}
        settings = Settings(http_allow=allow, secrets_dir=folder, keep_answers=keep)
        permissions = Permissions(
            http=("*",), secrets=frozenset({*SECRETS, "EMPTY", "GONE", SETTING})
        )
        row = {"id": 7, "name": NAME, "every": 60, "timeout": timeout, "action": fields}
        job = validate_row(
            row | {"timezone": "Europe/Berlin"}, timezone="UTC", permissions=permissions
        )
        assert isinstance(job, Job), job
        tick = Run(job, "7@2026-11-23T09:00:00Z", 1_795_424_400.0, 2)
        return perform_action(tick, settings)

    return run


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an idle connection for longer than a test may have to wait for its processor."""
    monkeypatch.setattr(idle, "IDLE", PATIENCE)


def failure(perform: Perform, *args: Any, **action: Any) -> ActionFailed:
    with pytest.raises(ActionFailed) as caught:
        perform(*args, **action)
    return caught.value


def test_a_plain_request(perform: Perform, rest: RestServer) -> None:
    assert perform() == "fine"
    [(method, path, headers)] = rest.requests
    assert (method, path, rest.bodies) == ("GET", "/hook", [b""])
    assert headers == {
        "Host": f"127.0.0.1:{rest.port}",
        "Accept-Encoding": "identity",
        "user-agent": "cron-tasks",
        "accept": "*/*",
        "idempotency-key": "7@2026-11-23T09:00:00Z",
    }


def test_a_run_fills_the_placeholders(perform: Perform, rest: RestServer) -> None:
    perform(
        "/a/$id?n=$name&t=${scheduled_for}&$$x=é#part",
        headers={"X-Name": "<$name>", "Idempotency-Key": "$run_id/$attempt"},
        json={"text": ["$name at $time", 5, None], "$id": "$$5"},
    )
    [(method, path, headers)] = rest.requests
    assert method == "POST"
    assert path == ("/a/7?n=W%C3%A4ter%20%227%22%20%26%20co&t=2026-11-23T09%3A00%3A00Z&$x=%C3%A9")
    assert headers["x-name"] == '<W%C3%A4ter "7" & co>'
    assert headers["idempotency-key"] == "7@2026-11-23T09:00:00Z/2"
    assert headers["content-type"] == "application/json"
    assert json.loads(rest.bodies[0]) == {
        "text": [f"{NAME} at 2026-11-23 10:00", 5, None],
        "$id": "$5",
    }


def test_a_body_and_a_method(perform: Perform, rest: RestServer) -> None:
    perform(body="$name €", method="put", headers={"Content-Type": "text/x"})
    perform(body="x")
    perform(method="HEAD")
    perform("/?q")
    assert [each[:2] for each in rest.requests] == [
        ("PUT", "/hook"),
        ("POST", "/hook"),
        ("HEAD", "/hook"),
        ("GET", "/?q"),
    ]
    assert rest.bodies == [f"{NAME} €".encode(), b"x", b"", b""]
    types = [headers.get("content-type") for _, _, headers in rest.requests]
    assert types == ["text/x", "text/plain; charset=utf-8", None, None]


@pytest.mark.parametrize(
    ("code", "expect", "outcome"),
    [
        (200, [], "ok"),
        (204, [], "ok"),
        (404, 404, "ok"),
        (302, [302], "ok"),
        (304, [], "permanent"),
        (400, [], "permanent"),
        (401, [], "permanent"),
        (200, [201, 204], "permanent"),
        (408, [], "passing"),
        (425, [], "passing"),
        (429, [], "passing"),
        (500, [], "passing"),
        (503, [200], "passing"),
    ],
)
def test_the_status_decides(
    perform: Perform, rest: RestServer, code: int, expect: Any, outcome: str
) -> None:
    rest.answer = reply(code, b"" if code in (204, 304) else b"said", Location="/elsewhere")
    if outcome == "ok":
        assert perform(expect_status=expect) == (None if code == 204 else "said")
        return
    error = failure(perform, "/hook?private=1", expect_status=expect)
    assert str(error).startswith(f"GET {rest.url}/hook: answered {code}")
    assert error.permanent is (outcome == "permanent")
    assert error.output == (None if code == 304 else "said")
    assert len(rest.requests) == 1


def test_an_error_names_the_expected_status(perform: Perform, rest: RestServer) -> None:
    rest.answer = status(500)
    said = f"GET {rest.url}/hook: answered 500 Internal Server Error, not 200 or 204"
    assert str(failure(perform, expect_status=[200, 204])) == said


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("1.5", None),
        ("-3", None),
        ("soon", None),
        ("²", None),
        ("9" * 400, None),
        (format_datetime(datetime.fromtimestamp(1090, UTC), usegmt=True), 90),
        ("Thu, 01 Jan 1970 00:18:10 -0000", 90),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert read_retry_after(header, 1000) == seconds


def test_retry_after_counts_where_another_attempt_can_help(
    perform: Perform, rest: RestServer
) -> None:
    rest.answer = status(429, "17")
    assert failure(perform).retry_after == 17
    rest.answer = status(403, "17")
    assert failure(perform).retry_after is None


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (drip(b"x", 0.02), "no whole answer within 0.3 s"),
        (drip(b"x", 0.02, headers=True), "no whole answer within 0.3 s"),
        (silent(), "no whole answer within 0.3 s"),
        (reset(), "the service reset the connection"),
        (truncated(b"x" * 100, 50), "the answer was cut short"),
        (truncated(b"x" * 100, 50, chunked=True), "the answer was cut short"),
    ],
    ids=["drip", "drip of headers", "silent", "reset", "truncated", "truncated chunk"],
)
def test_a_failed_connection_may_be_tried_again(
    perform: Perform, rest: RestServer, answer: Answer, cause: str
) -> None:
    rest.answer, begin = answer, time.monotonic()
    # An answer that ends may take long on a busy machine.
    error = failure(perform, timeout=0.3 if "within" in cause else PATIENCE)
    assert (str(error), error.permanent) == (f"GET {rest.url}/hook: {cause}", False)
    assert time.monotonic() - begin < PATIENCE


def test_no_server(perform: Perform) -> None:
    port = free_port()
    error = failure(perform, f"http://127.0.0.1:{port}/")
    assert str(error) == f"GET http://127.0.0.1:{port}/: the connection was refused"
    assert not error.permanent
    error = failure(perform, "http://no-such-host.invalid/")
    assert "the host has no address" in str(error)
    assert not error.permanent


def test_a_server_without_tls(perform: Perform, rest: RestServer) -> None:
    error = failure(perform, f"https://127.0.0.1:{rest.port}/")
    assert "TLS failed" in str(error)


def test_a_server_that_does_not_speak_http(perform: Perform, rest: RestServer) -> None:
    def nonsense(handler: Handler) -> bool:
        handler.wfile.write(b"220 mail.example.org ESMTP\r\n")
        handler.close_connection = True
        return True

    rest.answer = nonsense
    assert str(failure(perform)).endswith("the answer is not HTTP")


@pytest.mark.parametrize(
    ("body", "kind", "kept"),
    [
        (b"", "text/plain", None),
        (b"x" * 10_000, "text/plain", "x" * 4096),
        ("é".encode() * 4000, "text/plain", "é" * 2048),
        (b"one\r\n\ttwo\x1b[2J\n", "text/plain", "one\n        two\\x1b[2J"),
        (b"\xe4", "text/plain; charset=latin-1", "ä"),
        (b"\xe4", "text/plain; charset=wibble", "\ufffd"),
        (b"\xe4", "text/plain; charset=rot13", "\ufffd"),
    ],
)
def test_the_output_that_is_kept(
    perform: Perform, rest: RestServer, body: bytes, kind: str, kept: str | None
) -> None:
    rest.answer = reply(200, body, Content_Type=kind)
    assert perform() == kept


def test_a_huge_answer_is_not_read(perform: Perform, rest: RestServer) -> None:
    rest.answer = huge(50 << 20)
    assert perform() == "[" + " " * 4095
    rest.answer = huge(1000, compressed=True)
    assert perform() == "(a body in gzip, which is not kept)"


def test_a_connection_is_used_again_unless_it_ended(
    perform: Perform, rest: RestServer, kept: None
) -> None:
    for _ in range(5):
        perform()
    assert len(rest.clients) == 1
    rest.answer = first(1, reset())
    perform(expect_status=404)
    assert len(rest.clients) == 2


def test_a_post_is_not_sent_twice_over_a_fresh_connection(
    perform: Perform, rest: RestServer
) -> None:
    rest.answer = reset()
    assert not failure(perform, method="POST").permanent
    assert len(rest.requests) == 1


def test_a_post_that_a_kept_connection_swallows_is_sent_once_more(
    perform: Perform, rest: RestServer, kept: None
) -> None:
    perform()
    rest.answer = first(1, reset())
    assert str(failure(perform, method="POST", body="x")).endswith("answered 404 Not Found")
    assert [method for method, _, _ in rest.requests] == ["GET", "POST", "POST"]
    assert rest.bodies == [b"", b"x", b"x"]
    assert len({headers["idempotency-key"] for _, _, headers in rest.requests}) == 1
    assert len(rest.clients) == 2
    rest.answer = reset()
    assert "the service reset the connection" in str(failure(perform, method="POST"))
    assert len(rest.requests) == 5, "once more, and no more"


def test_a_post_whose_answer_has_begun_is_not_sent_again(
    perform: Perform, rest: RestServer, kept: None
) -> None:
    def begin_to_answer(handler: Handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 2")
        handler.close_connection = True
        return True

    perform()
    rest.answer = begin_to_answer
    assert not failure(perform, method="POST").permanent
    assert [method for method, _, _ in rest.requests] == ["GET", "POST"]


def test_redirects_are_followed_as_requests_does(perform: Perform, rest: RestServer) -> None:
    def lead(handler: Handler) -> bool:
        code, _, rest_of_path = handler.path[1:].partition("/")
        if code.isdecimal():
            return redirect("/" + (rest_of_path or "end"), int(code))(handler)
        return reply(200, handler.command.encode())(handler)

    rest.answer = lead
    for code, method, arrives in (
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ):
        assert perform(f"/{code}", method=method, body="x") == arrives
        assert rest.bodies[-1] == (b"x" if code in (307, 308) else b"")
    assert perform("/302/302/302/302/302/end") == "GET"
    error = failure(perform, "/302/302/302/302/302/302/end")
    assert str(error).endswith("redirected more than 5 times")
    assert error.permanent


@pytest.mark.parametrize(
    ("location", "cause"),
    [
        ("http://127.0.0.2:{port}/", "127.0.0.2 is a loopback address, which CRON_TASKS_HTTP"),
        ("http://169.254.169.254/meta", "169.254.169.254 is a link-local address, which"),
        ("http://[::ffff:10.0.0.1]/", "is a private address, which CRON_TASKS_HTTP_ALLOW does not"),
        ("//2130706434:{port}/", "127.0.0.2 is a loopback address, which CRON_TASKS_HTTP_ALLOW"),
        ("file:///etc/passwd", "redirected to something that is not an http or https URL"),
        ("http://[", "redirected to something that is not an http or https URL"),
        ("http://127.0.0.1:0/", "redirected to something that is not an http or https URL"),
    ],
)
def test_each_hop_is_checked(perform: Perform, rest: RestServer, location: str, cause: str) -> None:
    rest.answer = redirect(location.format(port=rest.port))
    error = failure(perform)
    assert cause in str(error), error
    assert error.permanent


def test_private_parts_of_a_request_stay_with_their_host(
    perform: Perform, rest: RestServer
) -> None:
    private = {"Authorization": "a", "Cookie": "b", "Host": "c", "X-Key": "${secret:TOKEN}"}
    with RestServer() as other:
        other.answer = reply(200, b"arrived")
        rest.answer = redirect(other.url + "/x", 307)
        free = private | {"X-Free": "d"}
        assert perform(headers=free, body="text", keep=True) == "arrived"
        _, _, headers = other.requests[0]
        assert {"authorization", "cookie", "x-key"}.isdisjoint(headers)
        assert (headers["x-free"], headers["Host"]) == ("d", f"127.0.0.1:{other.port}")
        assert other.bodies == [b"text"]
        error = failure(perform, body="${secret:TOKEN}")
        assert str(error).endswith("another host, which may not get the secrets of its body")
        assert len(other.requests) == 1
    rest.answer = first(1, redirect("/again"))
    perform(headers=private, expect_status=404)
    assert rest.requests[-1][2]["authorization"] == "a"
    assert rest.requests[-1][2]["x-key"] == SECRETS["TOKEN"]


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/"),
        *("http://0177.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0/"),
        *("http://localhost/", "http://１２７.0.0.1/"),
    ],
)
def test_no_way_to_spell_a_loopback_address_gets_there(perform: Perform, url: str) -> None:
    error = failure(perform, url, allow="10.0.0.0/8")
    assert "which CRON_TASKS_HTTP_ALLOW does not allow" in str(error)
    assert error.permanent


@pytest.mark.parametrize(
    "allow", ["*", "localhost", "127.0.0.0/8, ::1", "LOCALHOST.", "x.example, 127.0.0.1"]
)
def test_the_operator_may_allow_it(perform: Perform, rest: RestServer, allow: str) -> None:
    assert perform(f"http://localhost:{rest.port}/", allow=allow) == "fine"


def test_the_environment_has_no_influence(
    perform: Perform, rest: RestServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password x")
    assert perform() == "fine"
    assert "authorization" not in rest.requests[0][2]


def test_secrets_reach_the_request(perform: Perform, rest: RestServer) -> None:
    host = rest.url.removeprefix("http://")
    perform(
        f"http://me:${{secret:PASSWORD}}@{host}/${{secret:KEY}}",
        headers={"Authorization": "Bearer ${secret:TOKEN}"},
        json=["${secret:KEY}"],
    )
    perform(f"http://me:${{secret:PASSWORD}}@{host}/", body="<${secret:LINES}>")
    (_, path, headers), (_, _, basic) = rest.requests
    assert path == "/s3cret%2F%C3%84%20%22q%27"
    assert headers["authorization"] == "Bearer tok-123"
    assert json.loads(rest.bodies[0]) == [SECRETS["KEY"]]
    assert basic["authorization"] == "Basic bWU6cDp3QGQmPA=="
    assert rest.bodies[1] == b"<a\nb>"


def test_no_echo_of_a_secret_is_kept(perform: Perform, rest: RestServer) -> None:
    def echo(handler: Handler) -> bool:
        value = SECRETS["KEY"]
        said = [value, json.dumps(value), json.dumps(value).replace("/", "\\/"), repr(value)]
        said += [
            value.upper(),
            handler.path,
            handler.headers["Authorization"],
            handler.path.lower(),
        ]
        return reply(500, "\n".join(said).encode())(handler)

    rest.answer = echo
    host = rest.url.removeprefix("http://")
    url = f"http://me:${{secret:KEY}}@{host}/a/${{secret:KEY}}"
    error = failure(perform, url)
    assert str(error) == f"GET http://{host}/a/***: answered 500 Internal Server Error"
    assert error.output == "<not kept: the request carried a secret>"
    error = failure(perform, url, keep=True)
    assert str(error) == f"GET http://{host}/a/***: answered 500 Internal Server Error"
    assert error.output == '***\n"***"\n"***"\n\'***\'\n***\n/a/***\nBasic ***\n/a/***'


@pytest.mark.parametrize("before", [4090, 4095, 4096, 16_380, 16_384 - 7])
def test_not_even_half_a_secret_is_kept(perform: Perform, rest: RestServer, before: int) -> None:
    rest.answer = reply(200, b"." * before + SECRETS["TOKEN"].encode() * 2 + b"." * 9000)
    kept = perform(headers={"X": "${secret:TOKEN}"}, keep=True)
    assert kept is not None
    assert "t" not in kept


@pytest.mark.parametrize(
    ("action", "cause"),
    [
        ({"body": "${secret:GONE}"}, "the secret GONE in the folder CRON_TASKS_SECRETS_DIR cannot"),
        ({"body": f"${{secret:{SETTING}}}"}, f"the secret {SETTING} in the folder CRON_TASKS_SE"),
        ({"body": "${secret:EMPTY}"}, "the secret EMPTY is empty or longer than 65536 bytes"),
        ({"headers": {"X": "${secret:LINES}"}}, "the secret in the header x is more than one line"),
    ],
)
def test_a_secret_that_cannot_be_used(
    perform: Perform, rest: RestServer, action: dict[str, Any], cause: str
) -> None:
    error = failure(perform, **action)
    assert str(error).startswith(cause)
    assert error.permanent
    assert rest.requests == []
