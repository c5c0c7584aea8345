"""Logging in to the REST service: schemes, further headers, and the reasons that the service
gives."""

import json
from collections.abc import Iterator

import pytest
import rest_server as answers
from pydantic import SecretStr, ValidationError
from reading import (
    TOKEN,
    failure,
    quick,  # noqa: F401
    read,
    tokens,
)
from rest_server import RestServer

from cron_tasks.settings import Settings

KEY = "k3y-of-ours"
HEADERS = {"X-Api-Key": SecretStr(KEY)}


@pytest.fixture
def stranger() -> Iterator[RestServer]:
    with RestServer([{"id": 9, "name": "theirs"}]) as server:
        yield server


def sent(rest: RestServer, name: str) -> list[str | None]:
    return [headers.get(name) for _, _, headers in rest.requests]


def test_the_scheme_goes_before_the_token(rest: RestServer) -> None:
    read(rest, rest_auth_scheme="Token")
    assert tokens(rest) == [f"Token {TOKEN}"]


def test_basic_takes_user_and_password(rest: RestServer) -> None:
    read(rest, rest_auth_scheme="basic", rest_token=SecretStr("Aladdin:open-sesame"))
    # RFC 7617, section 2, with another password.
    assert tokens(rest) == ["basic QWxhZGRpbjpvcGVuLXNlc2FtZQ=="]
    # A password with a space is given in base64.
    read(rest, rest_auth_scheme="Basic", rest_token=SecretStr("bWU6b3BlbiBzZXNhbWU="))
    assert tokens(rest)[1] == "Basic bWU6b3BlbiBzZXNhbWU="
    rest.answer = answers.reply(401, b'{"detail": "Not open sesame"}')
    encoded = SecretStr("bWU6b3BlbiBzZXNhbWU=")
    assert "words: Not ***" in failure(rest, rest_auth_scheme="Basic", rest_token=encoded)


def test_further_headers_are_sent_home_only(rest: RestServer, stranger: RestServer) -> None:
    following = f"{stranger.url}/api/cronjobs/"
    rest.answer = answers.reply(200, json.dumps({"jobs": [], "next": following}).encode())
    assert len(read(rest, rest_headers=HEADERS)) == 1
    assert sent(rest, "X-Api-Key") == [KEY]
    assert sent(stranger, "X-Api-Key") == [None]
    rest.answer = answers.redirect(following)
    read(rest, rest_headers=HEADERS)
    assert sent(stranger, "X-Api-Key") == [None, None]


def test_further_headers_are_sent_with_each_page(rest: RestServer) -> None:
    rest.answer = answers.envelope([[1], [2]])
    read(rest, rest_headers=HEADERS)
    assert sent(rest, "X-Api-Key") == [KEY, KEY]


@pytest.mark.parametrize("secret", [KEY, "open-sesame"])
def test_no_secret_is_shown(rest: RestServer, secret: str) -> None:
    rest.answer = answers.redirect(f"http://127.0.0.1:1/{secret}")
    text = failure(
        rest,
        rest_headers=HEADERS,
        rest_auth_scheme="Basic",
        rest_token=SecretStr("Aladdin:open-sesame"),
    )
    assert secret not in text


def test_the_settings_show_names_but_no_values() -> None:
    settings = Settings(rest_url="http://s", rest_headers='{"X-Api-Key": "k3y-of-ours"}')
    shown = {row.variable: row.value for row in settings.rows()}
    assert shown["CRON_TASKS_REST_HEADERS"] == '{"X-Api-Key": "***"}'
    assert KEY in settings.secrets()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ('{"Authorization": "x"}', "CRON_TASKS_REST_TOKEN is for tokens"),
        ('{"X Key": "x"}', "cannot be the name of a header"),
        ('{"X-Key": "a\\nb"}', "not one line of visible ASCII"),
        ("{", "not JSON"),
        ("/nowhere/headers.json", "No such file"),
    ],
)
def test_wrong_headers_are_refused(headers: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings(rest_headers=headers)


@pytest.mark.parametrize("scheme", ["", "Bearer x", "Token:"])
def test_a_wrong_scheme_is_refused(scheme: str) -> None:
    with pytest.raises(ValidationError, match="character that a scheme cannot have"):
        Settings(rest_auth_scheme=scheme)


@pytest.mark.parametrize("field", ["detail", "error", "message"])
@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_shows_the_services_own_words(rest: RestServer, code: int, field: str) -> None:
    body = json.dumps({field: f"Invalid token {TOKEN}.\x1b[31m"}).encode()
    rest.answer = answers.reply(code, body)
    text = failure(rest)
    assert "Invalid token ***." in text
    assert "CRON_TASKS_REST_TOKEN" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        # FastAPI, Django REST Framework (also `non_field_errors`), JSON:API, Google, OAuth 2.
        (
            {"detail": [{"type": "x", "loc": ["query", "size"], "msg": "Too large"}]},
            "query.size: Too large",
        ),
        ({"size": ["A valid integer is required."]}, "size: A valid integer is required."),
        ({"errors": [{"status": "403", "title": "Forbidden", "detail": "Not you"}]}, "Not you"),
        ({"error": {"code": 403, "message": "Not you"}}, "Not you"),
        ({"error": "", "message": "Not you"}, "Not you"),
        ({"errors": {"token": ["has expired"]}}, "token: has expired"),
    ],
)
def test_the_words_of_a_refusal_in_other_shapes(
    rest: RestServer, answer: object, words: str
) -> None:
    rest.answer = answers.reply(422, json.dumps(answer).encode())
    assert failure(rest).endswith(f"422 Unprocessable Entity; in its own words: {words}")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"detail": 5}', b'{"error": {}}', b"\xff", b'{"a": {"b": []}}'],
)
def test_a_refusal_without_words_is_told_as_before(rest: RestServer, body: bytes) -> None:
    rest.answer = answers.reply(403, body)
    assert failure(rest).endswith("answered 403 Forbidden; check CRON_TASKS_REST_TOKEN")


def test_429_is_named_with_what_the_service_asked_for(rest: RestServer) -> None:
    rest.answer = answers.status(429, retry_after="3600")
    text = failure(rest)
    assert "the service answered 429 Too Many Requests and asks to wait 3600 s" in text


def test_a_throttled_read_waits_as_asked_within_the_deadline(rest: RestServer) -> None:
    rest.answer = answers.first(1, answers.status(429, retry_after="1"))
    assert read(rest) == []
