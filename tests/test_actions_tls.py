"""The `http` action over TLS, against a server whose certificate a CA of ours has signed."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import perform as perform_action
from rest_server import Handler, RestServer, first, raw, reply, reset

from cron_tasks.errors import ActionFailed
from cron_tasks.http.pings import send_ping
from cron_tasks.http.tls import tls_context
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings

ASCII = "xn--fa-hia.test"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
Perform = Callable[..., str | None]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate for an ASCII name, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={ASCII}"]
    command += ["-addext", f"subjectAltName=DNS:{ASCII}", "-keyout", str(path) + ".key"]
    subprocess.run([*command, "-out", str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def asked() -> list[str | None]:
    """Return the names that clients asked for (SNI)."""
    return []


@pytest.fixture
def server(
    certificate: Path, asked: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RestServer]:
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more)
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    tls_context.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")
    context.sni_callback = lambda _, name, __: asked.append(name)
    with RestServer(tls=context) as server:
        yield server
    tls_context.cache_clear()


@pytest.fixture
def perform(server: RestServer) -> Perform:
    def run(host: str = "faß.test", path: str = "/", **action: Any) -> str | None:
        fields = {"type": "http", "url": f"https://{host}:{server.port}{path}", **action}
        row = {"id": 7, "name": "x", "every": 60, "timeout": 60, "action": fields}
        job = validate_row(row, timezone="UTC", permissions=Permissions(http=("*",)))
        assert isinstance(job, Job), job
        tick = Run(job, "7@2026-11-23T09:00:00Z", 1_795_424_400.0, 1)
        return perform_action(tick, Settings(http_allow="127.0.0.1"))

    return run


def path_of(handler: Handler) -> bool:
    return reply(200, handler.path.encode())(handler)


@pytest.mark.parametrize("host", ["faß.test", "FAẞ.TEST", ASCII, "faß.test."])
def test_the_certificate_is_checked_for_the_host_of_the_url(
    perform: Perform, server: RestServer, asked: list[str | None], host: str
) -> None:
    server.answer = path_of
    assert perform(host, "/a", headers={"Host": "other.test"}) == "/a"
    assert asked == [ASCII]
    assert server.requests[0][2]["host"] == "other.test"


def test_the_host_header_makes_no_certificate_valid(perform: Perform, server: RestServer) -> None:
    server.answer = path_of
    with pytest.raises(ActionFailed, match="TLS certificate is not accepted: Hostname mismatch"):
        perform("fass.test", headers={"Host": ASCII})
    assert server.requests == []


def test_bytes_that_tls_has_decrypted_reach_nobody(perform: Perform, server: RestServer) -> None:
    """They are beyond the part that was read of the socket, which has nothing more to read."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \r\n\r\nok"
    filled = head.replace(b"X: ", b"X: " + b"x" * (8192 - len(head)))
    server.answer = lambda handler: (raw(filled + EVIL) if handler.path == "/extra" else path_of)(
        handler
    )
    for n in range(5):
        assert perform(path="/extra") == "ok"
        assert perform(path=f"/{n}", method="POST") == f"/{n}"


def test_a_post_that_a_kept_connection_swallows_is_sent_once_more(
    perform: Perform, server: RestServer
) -> None:
    server.answer = path_of
    perform()
    perform()
    assert len(server.clients) == 1
    swallow = first(1, reset())
    server.answer = lambda handler: swallow(handler) or path_of(handler)
    assert perform(path="/x", method="POST") == "/x"
    assert [method for method, _, _ in server.requests] == ["GET", "GET", "POST", "POST"]


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_wrong_authorities_are_named(
    perform: Perform,
    server: RestServer,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / kind
    if kind == "empty":
        path.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    tls_context.cache_clear()
    why = "No such file or directory" if kind == "missing" else "it contains no certificate"
    cause = f"REQUESTS_CA_BUNDLE, {path}, cannot be used: {why}"
    with pytest.raises(ActionFailed) as caught:
        perform()
    assert str(caught.value).endswith(cause)
    assert send_ping(f"https://{ASCII}:{server.port}/", "GET") == cause
