"""Host names: IDNA 2008 wherever one is read, and the header Host of a job."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rest_server as answers
from helpers import PATIENCE
from helpers import perform as perform_action
from reading import TOKEN, quick, read, tokens  # noqa: F401
from rest_server import JOBS_PATH, Handler, RestServer, first, redirect, reply

from cron_tasks.errors import ActionFailed
from cron_tasks.http.hosts import is_host_header, to_ascii_host, with_ascii_host
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings

IDN, ASCII = "faß.test", "xn--fa-hia.test"
Perform = Callable[..., str | None]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the looked-up names. Each resolves to this machine."""
    names: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(host)
        return real("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setenv("NO_PROXY", "*")
    return names


@pytest.fixture
def perform(rest: RestServer, tmp_path: Path) -> Perform:
    (tmp_path / "KEY").write_text("s3cret")
    rest.answer = reply(200, b"fine")

    def run(url: str, allow: str = "*.test, 127.0.0.1", **action: Any) -> str | None:
        permissions = Permissions(http=("*",), secrets=frozenset({"KEY"}))
        fields = {"type": "http", "url": url.replace(":PORT", f":{rest.port}"), **action}
        job = validate_row(
            {"id": 7, "name": "x", "every": 60, "action": fields},
            timezone="UTC",
            permissions=permissions,
        )
        assert isinstance(job, Job), job
        tick = Run(job, "7@2026-11-23T09:00:00Z", 1_795_424_400.0, 1)
        return perform_action(tick, Settings(http_allow=allow, secrets_dir=tmp_path))

    return run


@pytest.mark.parametrize("host", [IDN, "FAẞ.test", ASCII, "fa%C3%9F.test", "faß。test"])
def test_an_action_goes_to_the_domain_that_browsers_go_to(
    perform: Perform, rest: RestServer, resolved: list[str], host: str
) -> None:
    assert perform(f"http://{host}:PORT/") == "fine"
    assert resolved == [ASCII]
    assert rest.requests[0][2]["Host"] == f"{ASCII}:{rest.port}"


@pytest.mark.parametrize("allow", [IDN, "FAẞ.test.", ASCII])
def test_a_rule_allows_the_same_domain_alone(
    perform: Perform, resolved: list[str], allow: str
) -> None:
    assert perform(f"http://{IDN}:PORT/", allow=allow) == "fine"
    with pytest.raises(ActionFailed, match="is a loopback address"):
        perform("http://fass.test:PORT/", allow=allow)


@pytest.mark.parametrize(
    "location",
    [
        "http://faß.test:PORT/there",
        "http://fa%C3%9F.test:PORT/there",
        f"http://{ASCII}:PORT/there",
        "//FA%E1%BA%9E.test:PORT/there",
    ],
)
def test_a_redirect_to_the_same_domain_keeps_its_secrets(
    perform: Perform, rest: RestServer, resolved: list[str], location: str
) -> None:
    where = location.replace("PORT", str(rest.port)).encode().decode("latin-1")
    rest.answer = lambda handler: (
        redirect(where) if handler.path == "/here" else reply(200, b"fine")
    )(handler)
    headers = {"X-Key": "${secret:KEY}", "Host": "name.test"}
    perform(f"http://{IDN}:PORT/here", headers=headers)
    assert [path for _, path, _ in rest.requests] == ["/here", "/there"]
    assert [sent.get("x-key") for _, _, sent in rest.requests] == ["s3cret", "s3cret"]
    assert [sent.get("host") for _, _, sent in rest.requests] == ["name.test", "name.test"]
    assert set(resolved) == {ASCII}
    rest.requests.clear()
    perform("http://fass.test:PORT/here", headers=headers)
    assert [sent.get("x-key") for _, _, sent in rest.requests] == ["s3cret", None]
    assert rest.requests[1][2]["Host"] == f"{ASCII}:{rest.port}", "of the other host, not the job's"


@pytest.mark.parametrize("how", ["next", "redirect", "link"])
@pytest.mark.parametrize("host", [IDN, "fa%C3%9F.test", "FAẞ.test", ASCII])
def test_the_rest_service_may_have_such_a_name(
    rest: RestServer, resolved: list[str], how: str, host: str
) -> None:
    where = f"http://{host}:{rest.port}/there"
    in_header = where.encode().decode("latin-1")
    leading: dict[str, answers.Answer] = {
        "next": reply(200, json.dumps({"data": [0], "next": where}).encode()),
        "redirect": redirect(in_header),
        "link": reply(200, b"[0]", Link=f'<{in_header}>; rel="next"'),
    }

    def answer(handler: Handler) -> bool:
        return (leading[how] if handler.path == JOBS_PATH else reply(200, b"[1]"))(handler)

    rest.answer = answer
    rows = [row for _, row in read(f"http://{IDN}:{rest.port}")]
    assert rows == ([1] if how == "redirect" else [0, 1])
    assert set(resolved) == {ASCII}
    assert tokens(rest) == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    "host", ["a..b", "ü..b", "-ß.de", "a\u200db.de", "%ff.de", "a%2fb", "a%00b", "a" * 64, "ü" * 64]
)
def test_invalid_host_names(host: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        to_ascii_host(host)
    row = {"id": 1, "name": "x", "every": 60, "action": {"type": "http", "url": f"http://{host}/"}}
    assert isinstance(validate_row(row, timezone="UTC"), Rejected)


def test_an_address_in_brackets_stays() -> None:
    assert with_ascii_host("http://[::1]:80/ü") == "http://[::1]:80/ü"
    assert with_ascii_host("/ü?next=http://ü") == "/ü?next=http://ü"


# A URL's user


@pytest.mark.parametrize(
    ("user", "credentials"),
    [
        ("me", "bWU6"),  # me:
        ("me:", "bWU6"),
        (":pw", "OnB3"),  # :pw
        ("me:p:w", "bWU6cDp3"),  # me:p:w
        ("m%40e:%3A", "bUBlOjo="),  # m@e::
        ("ü", "w7w6"),
    ],
)
def test_a_user_with_and_without_a_password(
    perform: Perform, rest: RestServer, user: str, credentials: str
) -> None:
    perform(f"http://{user}@127.0.0.1:PORT/")
    assert rest.requests[0][2]["authorization"] == f"Basic {credentials}"


# Host


def test_host_is_sent_once_in_the_place_of_ours(
    perform: Perform, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.actions.idle.IDLE", PATIENCE)
    hosts: list[list[str]] = []

    def note(handler: Handler) -> bool:
        hosts.append(handler.headers.get_all("Host"))
        return reply(200, b"fine")(handler)

    rest.answer = note
    for name, value in (("Host", "a.test"), ("host", "b.test:8080"), ("HOST", "[::1]:80")):
        perform("http://127.0.0.1:PORT/", headers={name: value})
        perform("http://127.0.0.1:PORT/", method="POST")
    perform("http://127.0.0.1:PORT/", headers={"Host": "$id.test"})
    ours = [f"127.0.0.1:{rest.port}"]
    assert hosts == [["a.test"], ours, ["b.test:8080"], ours, ["[::1]:80"], ours, ["7.test"]]
    assert len(rest.clients) == 1, "over one kept connection"


def test_host_goes_to_no_other_host(perform: Perform, rest: RestServer) -> None:
    with RestServer() as other:
        other.answer = reply(200, b"arrived")
        rest.answer = first(1, redirect(other.url + "/x"))
        assert perform("http://127.0.0.1:PORT/", headers={"Host": "a.test"}) == "arrived"
        assert other.requests[0][2]["Host"] == f"127.0.0.1:{other.port}"
        assert "host" not in other.requests[0][2]


@pytest.mark.parametrize(
    "value", ["", "a b", "a/b", "me@a", "http://a", "a:b", "a:70000", "a:80:90", "[::1", "[g::1]"]
)
def test_an_invalid_host_header(perform: Perform, rest: RestServer, value: str) -> None:
    assert not is_host_header(value)
    action = {"type": "http", "url": "http://example.org", "headers": {"hOst": value}}
    outcome = validate_row({"id": 1, "name": "x", "every": 60, "action": action}, timezone="UTC")
    assert isinstance(outcome, Rejected)
    assert "hOst is a host or host:port in ASCII, got" in outcome.errors[0]
    with pytest.raises(ActionFailed, match="its header host is, with its placeholders filled in"):
        perform("http://127.0.0.1:PORT/", headers={"Host": "$name " + value})
    assert rest.requests == []
