"""Every failure of a REST service is explained in a sentence, within limits of time and size."""

import json
import re
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
import rest_server as answers
from helpers import free_port
from reading import (
    BODY,
    PAGES,
    ROWS,
    TOKEN,
    failure,
    quick,  # noqa: F401
    read,
)
from rest_server import JOBS_PATH, RestServer

# Failures: one sentence, no token


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answers.status(401), "401 Unauthorized; check CRON_TASKS_REST_TOKEN"),
        (answers.status(403), "403 Forbidden; check CRON_TASKS_REST_TOKEN"),
        (answers.status(404), "404 Not Found; check CRON_TASKS_REST_JOBS_PATH"),
        (answers.status(418), "answered 418 I'm a Teapot"),
        (answers.status(500), "answered 500 Internal Server Error"),
        (answers.status(799), "answered 799"),
        (answers.reply(204), "204 No Content in place of 200"),
        (answers.reply(206, BODY), "206 Partial Content in place of 200"),
        (answers.reply(304), "304 Not Modified in place of 200"),
        (answers.html(), "starts with '<!DOCTYPE html><title>Sign"),
        (answers.redirect(JOBS_PATH), "it redirects without an end"),
        (answers.redirect("ftp://127.0.0.1/"), "the address is not a URL"),
        (answers.redirect("http://[::1"), "the address is not a URL"),
        (answers.truncated(BODY, 40), "the answer was cut short"),
        (answers.truncated(BODY, len(BODY), chunked=True), "the answer was cut short"),
        (answers.reply(200, b"[]", Content_Encoding="gzip"), "not compressed as its Content-Enc"),
    ],
)
def test_a_wrong_answer_is_explained_at_once(
    rest: RestServer, answer: answers.Answer, words: str
) -> None:
    rest.answer = answer
    sentence = failure(rest)
    assert words in sentence
    assert f"http://127.0.0.1:{rest.port}{JOBS_PATH}" in sentence
    assert TOKEN not in sentence
    assert len(rest.requests) == 1 or "redirects" in sentence


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answers.status(429), "answered 429 Too Many Requests"),
        (answers.status(502), "answered 502 Bad Gateway"),
        (answers.status(503, "soon"), "answered 503 Service Unavailable"),
        (answers.status(504, "0"), "answered 504 Gateway Timeout"),
        (answers.reset(), "reset the connection"),
    ],
)
def test_a_temporary_failure_is_tried_four_times_and_then_explained(
    rest: RestServer, answer: answers.Answer, words: str
) -> None:
    rest.answer = answer
    assert words in failure(rest)
    assert len(rest.requests) == 4
    rest.jobs, rest.answer = list(ROWS), answers.first(3, answer)
    assert len(read(rest)) == 7


def test_retry_after_is_honoured(rest: RestServer) -> None:
    rest.answer = answers.first(1, answers.status(503, "1"))
    before = time.monotonic()
    assert read(rest) == []
    assert time.monotonic() - before >= 1


def test_retry_after_beyond_the_deadline_fails_at_once(rest: RestServer) -> None:
    rest.answer = answers.status(503, "3600")
    before = time.monotonic()
    text = failure(rest, rest_deadline=10)
    assert "within 10 s (CRON_TASKS_REST_DEADLINE): the service answered 503 Service" in text
    assert text.endswith("and asks to wait 3600 s")
    assert time.monotonic() - before < 10
    assert len(rest.requests) == 1


def test_a_refused_connection() -> None:
    sentence = failure(f"http://127.0.0.1:{free_port()}")
    assert "the connection was refused; is the service running" in sentence


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "http://no-such-host.invalid",
            "the host has no address: .+; check CRON_TASKS_REST",
        ),
        (f"http://{'a' * 70}.invalid", "not a URL that can be requested"),
    ],
)
def test_a_wrong_host(url: str, words: str) -> None:
    assert re.search(words, failure(url))


def test_tls_against_a_plain_server(rest: RestServer) -> None:
    sentence = failure(rest.url.replace("http:", "https:"))
    assert "TLS failed: wrong version number; is https right in CRON_TASKS_REST_URL?" in sentence


def test_a_missing_proxy(rest: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert "the proxy cannot be used; check HTTP_PROXY" in failure(rest)


def test_a_server_that_does_not_speak_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            for _ in range(4):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert "the answer is not HTTP" in failure(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_the_url_in_an_error_has_no_secrets(rest: RestServer) -> None:
    rest.answer = answers.status(500)
    sentence = failure(rest, rest_jobs_path="/api/?key=s3cret")
    assert f"from {rest.url}/api/: the service" in sentence


def test_a_missing_url_names_its_setting() -> None:
    with pytest.raises(Exception, match="CRON_TASKS_REST_URL is not set"):
        read("http://x", rest_url=None)


# Limits of time and size


@pytest.mark.parametrize(
    "answer",
    [
        answers.drip(b" ", 0.02),
        answers.drip(b"[1,", 0.02),
        answers.drip(b"x", 0.02, headers=True),
        answers.silent(),
    ],
    ids=["blank body", "body", "headers", "silence"],
)
def test_a_slow_drip_ends_at_the_deadline(rest: RestServer, answer: answers.Answer) -> None:
    rest.answer = answer
    before = time.monotonic()
    sentence = failure(rest, rest_deadline=0.4)
    assert "the service did not return its list within 0.4 s (CRON_TASKS_REST_DEADLINE)" in sentence
    assert 0.35 < time.monotonic() - before < 10


def test_silence_is_an_error_after_the_timeout(rest: RestServer) -> None:
    rest.answer = answers.silent()
    assert "no data for 0.1 s (CRON_TASKS_REST_TIMEOUT)" in failure(rest, rest_timeout=0.1)


def _endless(handler: answers.Handler) -> bool:
    handler.rest.stopping.wait(0.05)
    following = f"?page={len(handler.rest.requests) + 1}"
    return answers.reply(200, json.dumps({"data": [1], "next": following}).encode())(handler)


def test_the_deadline_is_over_all_pages(rest: RestServer) -> None:
    rest.answer = _endless
    before = time.monotonic()
    assert "did not return its list within 1 s" in failure(rest, rest_deadline=1)
    assert time.monotonic() - before < 10
    assert len(rest.requests) > 2


@pytest.mark.parametrize("compressed", [False, True])
def test_a_list_has_a_maximum_size(rest: RestServer, compressed: bool) -> None:
    rest.answer = answers.huge(3_000_000, compressed)
    assert read(rest, rest_max_bytes=3_000_000) == []
    sentence = failure(rest, rest_max_bytes=2_999_999)
    assert "the list is larger than 2999999 bytes (CRON_TASKS_REST_MAX_BYTES)" in sentence


def test_the_body_of_a_redirect_is_not_read(rest: RestServer) -> None:
    body = b"x" * 2_000_000
    away = answers.reply(302, body, Location="/there/")
    rest.answer = answers.first(1, away)
    assert "answered 404 Not Found" in failure(rest, rest_max_bytes=1000)
    rest.answer = answers.first(
        1, answers.reply(302, b"no gzip", Location=JOBS_PATH, Content_Encoding="gzip")
    )
    assert read(rest) == []


def test_the_maximum_size_is_over_all_pages(rest: RestServer) -> None:
    rest.answer = answers.envelope(PAGES)
    assert "cannot read page 3 of the jobs" in failure(rest, rest_max_bytes=250)


def test_a_big_list_goes_through_a_file(
    rest: RestServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "x" * 1000
    rest.answer = answers.reply(
        200, json.dumps([{"id": n, "t": text} for n in range(9000)]).encode()
    )
    assert len(read(rest)) == 9000
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert "No such file or directory" in failure(rest)
