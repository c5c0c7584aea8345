"""No client takes an answer for the answer to another request."""

import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import rest_server as answers
from helpers import PATIENCE
from helpers import perform as perform_action
from reading import failure as sync_failure
from reading import quick, read  # noqa: F401
from rest_server import JOBS_PATH, Handler, RestServer, interim, raw, reply

from cron_tasks.errors import ActionFailed
from cron_tasks.http.deadline import MAX_INTERIM
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
Call = Callable[..., str]


@pytest.fixture
def call(rest: RestServer) -> Call:
    """Run an `http` action at a path of `rest`. Return its output, or its error."""

    def run(path: str = "/", timeout: float = PATIENCE, **action: Any) -> str:
        fields = {"type": "http", "url": rest.url + path, **action}
        row = {"id": 7, "name": "x", "every": 60, "timeout": timeout, "action": fields}
        job = validate_row(row, timezone="UTC", permissions=Permissions(http=("*",)))
        assert isinstance(job, Job), job
        try:
            tick = Run(job, "7@2026-11-23T09:00:00Z", 1_795_424_400.0, 1)
            return str(perform_action(tick, Settings(http_allow="127.0.0.1")))
        except ActionFailed as error:
            return str(error)

    return run


def path_of(handler: Handler) -> bool:
    return reply(200, handler.path.encode())(handler)


def before(path: str, answer: answers.Answer) -> answers.Answer:
    """Return `answer` at `path`. Elsewhere return the path itself, as text."""
    return lambda handler: (answer if handler.path == path else path_of)(handler)


CODES = [(103,), (102,), (100,), (103, 103, 102, 100, 103), (199,), (102,) * MAX_INTERIM]


@pytest.mark.parametrize("codes", CODES, ids=str)
def test_interim_answers_are_skipped(
    call: Call, rest: RestServer, codes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.actions.idle.IDLE", PATIENCE)
    rest.answer = interim(codes, path_of, pause=0.2 if len(codes) == 1 else 0)
    for path in ("/a", "/b", "/c"):
        assert call(path) == path
        assert call(path, method="POST", body="x") == path
    assert len(rest.clients) == 1, "such a connection can be kept"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 103 Early Hints\r\nConnection: close", b"HTTP/1.0 100 Continue"]
)
def test_an_interim_answer_is_not_the_last_whatever_it_says(
    call: Call, rest: RestServer, head: bytes
) -> None:
    rest.answer = lambda handler: raw(head + b"\r\n\r\n")(handler) and path_of(handler)
    assert [call("/a"), call("/b", method="POST")] == ["/a", "/b"]
    rest.answer = raw(head + b"\r\n\r\n" + HEAD_OF % (b"200 OK", 2) + b"[]")
    assert read(rest) == []


@pytest.mark.parametrize("status", [b"000", b"099"])
def test_a_status_below_100_is_not_an_interim_answer(
    call: Call, rest: RestServer, status: bytes
) -> None:
    rest.answer = raw(HEAD_OF % (status, 0))
    assert call("/a", timeout=60).endswith("the answer is not HTTP")


@pytest.mark.parametrize("codes", CODES, ids=str)
def test_interim_answers_do_not_stop_a_sync(rest: RestServer, codes: tuple[int, ...]) -> None:
    body = json.dumps([{"id": 1}]).encode()
    rest.answer = interim(codes, reply(200, body))
    assert read(rest) == [("row 1", {"id": 1})]
    assert read(rest) == [("row 1", {"id": 1})]
    assert len(rest.requests) == 2


@pytest.mark.parametrize("code", [100, 102, 103])
def test_interim_answers_without_an_end(call: Call, rest: RestServer, code: int) -> None:
    rest.answer = interim([code] * (MAX_INTERIM + 1), path_of)
    assert call("/a").endswith(f"the service sent more than {MAX_INTERIM} interim responses")
    assert f"more than {MAX_INTERIM} interim responses" in sync_failure(rest)
    rest.answer = None
    assert "404" in call("/b")
    slowly = itertools.repeat(code)
    rest.answer = lambda handler: interim(
        itertools.takewhile(lambda _: not handler.rest.stopping.is_set(), slowly), path_of, 0.05
    )(handler)
    begun = time.monotonic()
    assert call("/a", timeout=0.3).endswith("no whole answer within 0.3 s")
    assert "did not return its list within 0.4 s" in sync_failure(rest, rest_deadline=0.4)
    assert time.monotonic() - begun < PATIENCE


def test_a_switch_of_protocols_is_an_error(call: Call, rest: RestServer) -> None:
    rest.answer = answers.first(1, interim([101], path_of))
    assert call("/a").endswith("the service switched protocols (101) without being asked")
    rest.answer = path_of
    assert call("/b") == "/b"
    rest.answer = interim([101], path_of)
    assert "the service switched protocols (101) without being asked" in sync_failure(rest)


def test_an_answer_after_the_timeout_reaches_nobody(call: Call, rest: RestServer) -> None:
    is_late = threading.Event()

    def late(handler: Handler) -> bool:
        return is_late.wait(PATIENCE) and reply(200, b"late")(handler)

    rest.answer = before("/slow", late)
    assert call("/a") == "/a"
    assert call("/slow", timeout=0.2).endswith("no whole answer within 0.2 s")
    is_late.set()
    assert [call(f"/{n}") for n in range(20)] == [f"/{n}" for n in range(20)]
    assert call("/slow") == "late"


HEAD_OF = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n"
OK = HEAD_OF % (b"200 OK", 2) + b"ok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
EXTRA = {
    "a second answer": raw(OK + EVIL),
    "a second answer, later": raw(OK, EVIL),
    "a second answer in two parts": raw(OK + EVIL[:20], EVIL[20:]),
    "a long one": raw(OK + HEAD_OF % (b"200 OK", 20_000) + b"e" * 20_000),
    "a length too short": raw(OK + b"ay" + EVIL),
    "chunks": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL
    ),
    "two lengths": raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok", EVIL
    ),
    "chunks and a length": raw(CHUNKED + b"Content-Length: 90\r\n\r\n2\r\nok\r\n0\r\n\r\n", EVIL),
    "a length as Python writes it": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0_2\r\n\r\nok", EVIL),
    "204 with a body": raw(HEAD_OF % (b"204 No Content", len(EVIL)), EVIL),
    "204 with a body unannounced": raw(b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL),
    "304 with a body": raw(HEAD_OF % (b"304 Not Modified", len(EVIL)), EVIL),
}


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bytes_after_an_answer_reach_nobody(
    call: Call, rest: RestServer, extra: answers.Answer, method: str
) -> None:
    rest.answer = before("/extra", extra)
    for n in range(10):
        call("/extra", expect_status=[200, 204, 304])
        assert rest.written.wait(PATIENCE)
        rest.written.clear()
        assert call(f"/{n}", method=method) == f"/{n}"


@pytest.mark.parametrize("length", [0, len(EVIL)])
def test_the_body_of_an_answer_to_head_reaches_nobody(
    call: Call, rest: RestServer, length: int
) -> None:
    pieces = [HEAD_OF % (b"200 OK", length), EVIL]
    rest.answer = before("/extra", raw(*pieces) if length else raw(b"".join(pieces)))
    for n in range(10):
        assert call("/extra", method="HEAD") == "None"
        assert rest.written.wait(PATIENCE)
        rest.written.clear()
        assert call(f"/{n}", method="POST") == f"/{n}"


def test_a_second_answer_is_not_the_next_page(rest: RestServer) -> None:
    """The list has pages, and its connection is kept between them."""
    first = json.dumps({"data": [{"id": 1}], "next": "?page=2"}).encode()
    forged = json.dumps([{"id": 666}]).encode()
    second = HEAD_OF % (b"200 OK", len(forged)) + forged

    def answer(handler: Handler) -> bool:
        if handler.path == JOBS_PATH:
            return raw(HEAD_OF % (b"200 OK", len(first)) + first + second)(handler)
        return reply(200, b'[{"id": 2}]')(handler)

    rest.answer = answer
    assert [row["id"] for _, row in read(rest)] == [1, 2]


def test_pages_in_chunks_share_a_connection(rest: RestServer) -> None:
    def answer(handler: Handler) -> bool:
        page = len(rest.requests)
        body = json.dumps({"data": [page], "next": f"?page={page}" if page < 4 else None}).encode()
        return raw(CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))(handler)

    rest.answer = answer
    assert [row for _, row in read(rest)] == [1, 2, 3, 4]
    assert len(rest.clients) == 1


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain; charset*=utf-8''%00",
        "text/plain; charset=a\0b",
        "text/plain; charset=" + ";a*0*=x" * 100_000,
        "text/plain; charset=" + "x" * 500_000,
    ],
    ids=len,
)
def test_a_hostile_content_type_costs_nothing(call: Call, rest: RestServer, kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\nok".encode()
    rest.answer = raw(head)
    begun = time.process_time()
    assert call("/a", timeout=60) == "ok"
    assert time.process_time() - begun < 1


def test_a_charset_is_read(call: Call, rest: RestServer) -> None:
    for kind in ("text/plain;charset=latin-1", 'text/plain; a=b; Charset="ISO-8859-1"; c=d'):
        rest.answer = reply(200, "ü".encode("latin-1"), Content_Type=kind)
        assert call("/a") == "ü"


@pytest.mark.parametrize("coding", ["identity", ""])
def test_a_body_without_a_coding_is_kept(call: Call, rest: RestServer, coding: str) -> None:
    rest.answer = reply(200, b"fine", Content_Encoding=coding)
    assert call("/a") == "fine"
