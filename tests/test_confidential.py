"""The secret parts of a job, and a job shown without them."""

from typing import Any

import pytest
from helpers import perform
from rest_server import RestServer, reply

from cron_tasks.actions.http import REPEATED
from cron_tasks.jobs.confidential import find_literal_secrets, is_secret_name, mask_job, mask_url
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings

SECRET = "h1dden-w0rd"


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Cookie", "X-Api-Key", "api_key", "apikey", "password", "passwd"),
        *("db_pass", "pwd", "token", "accessToken", "client_secret", "signature", "X-Auth", "sig"),
        *("Ocp-Apim-Subscription-Key", "private_key", "X-Key", "session_id", "credentials", "jwt"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("name", "Idempotency-Key", "author", "key", "passenger", "bypass", "Accept", "monkey"),
        *("Content-Type", "signal", "design", "cron_expression", "timezone", "compass"),
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a.example/b", "https://a.example/b"),
        (f"https://ann:{SECRET}@a.example/b?c=1#d", "https://***@a.example/b?c=***#d"),
        (f"https://{SECRET}@a.example", "https://***@a.example"),
        (f"https://ann:a@{SECRET}@a.example", "https://***@a.example"),
        (f"htps://ann:{SECRET}@a?b={SECRET}&c={SECRET}", "htps://***@a?b=***&c=***"),
        ("https://a.example/?day=$time&k=${secret:KEY}", None),
        (f"see https://x:{SECRET}@a and http://y:{SECRET}@b", "see https://***@a and http://***@b"),
        ("ann@a.example asks: a?b=c", None),
        (f"https://a.example/?{SECRET}", "https://a.example/?***"),
        (f"https://a.example/?={SECRET}&{SECRET}", "https://a.example/?=***&***"),
        (f"https://a.example/?{'n' * 200}={SECRET}", f"https://a.example/?{'n' * 200}=***"),
        (f"https://a.example/?k=$${SECRET}", "https://a.example/?k=***"),
        (f"https://a.example/?k=$id-{SECRET}", "https://a.example/?k=***"),
        (f"https://a.example/?k={SECRET}${{secret:KEY}}", "https://a.example/?k=***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(text: str, shown: str | None) -> None:
    assert mask_url(text) == (shown or text)


def test_a_job_is_shown_without_its_secrets() -> None:
    fields = {
        "id": 7,
        "heartbeat_url": f"https://hc.example/{SECRET}",
        "action": {
            "url": f"https://u:{SECRET}@a.example/b?c={SECRET}",
            "headers": {
                "X.Any": SECRET,
                "Accept": "text/plain",
                "X-Key": "A ${secret:KEY}",
                "Cookie": f"a={SECRET}; b=${{secret:KEY}}",
            },
            "json": {"password": SECRET, "day": "monday", "n": [{"token": 12345678}]},
        },
        "extra": {"client_secret": SECRET, "colour": "red", "callback": f"http://{SECRET}@b"},
    }
    shown = mask_job(fields)
    assert SECRET not in str(shown)
    assert shown == {
        "id": 7,
        "heartbeat_url": "https://hc.example/***",
        "action": {
            "url": "https://***@a.example/b?c=***",
            "headers": {
                "X.Any": "***",
                "Accept": "***",
                "X-Key": "A ${secret:KEY}",
                "Cookie": "***${secret:KEY}",
            },
            "json": {"password": "***", "day": "monday", "n": [{"token": "***"}]},
        },
        "extra": {"client_secret": "***", "colour": "red", "callback": "http://***@b"},
    }


@pytest.mark.parametrize(
    "more",
    [
        {"heartbeat_url": f"hc/{SECRET}"},
        {"heartbeat_url": f"https:/hc/{SECRET}"},
        {"heartbeat_url": f"https://hc example/{SECRET}"},
        {"heartbeat_url": [SECRET]},
        {"action": f"https://u:{SECRET}@a.example"},
        {"action": {"type": "http", "url": f"u:{SECRET}@a.example"}},
        {"action": {"type": "http", "url": f"htps://u:{SECRET}@a.example"}},
        {"action": {"type": "http", "url": f"http://$x/?a={SECRET}"}},
        {"action": {"type": "http", "url": {"x-api-key": SECRET}}},
        {"action": {"type": "http", "url": "http://a.example", "headers": f"X-Key: {SECRET}"}},
        {"action": {"type": "http", "url": "http://a.example", "headers": [SECRET]}},
        {"action": {"type": "http", "url": "http://a.example", "headers": {"X": f"{SECRET}\n"}}},
        {"action": {"type": "http", "url": "http://a.example", "headers": {"X.Y": [SECRET]}}},
        {"action": {"type": "http", "url": "http://a.example", "body": {"password": SECRET}}},
        {"action": {"type": "http", "url": "http://a.example", "method": {"token": SECRET}}},
        {"action": {"type": "task", "name": "a b", "kwargs": [{"password": SECRET}]}},
    ],
)
def test_no_error_of_a_row_shows_a_secret(more: dict[str, Any]) -> None:
    row = {"id": 7, "name": "x", "every": 60, **more}
    found = validate_row(row, timezone="UTC", permissions=Permissions(http=("*",)))
    assert isinstance(found, Rejected)
    assert SECRET not in str(found.errors)


@pytest.mark.parametrize(
    "action",
    [
        {"url": f"http://ann:{SECRET}@127.0.0.1:PORT/a"},
        {"url": f"http://{SECRET}@127.0.0.1:PORT/a"},
        {"url": f"http://127.0.0.1:PORT/a?access_token={SECRET}"},
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": {"Cookie": f"a=b; session={SECRET}"}},
        {"headers": {"X-Api-Key": SECRET}},
        {"url": f"http://127.0.0.1:PORT/a?{SECRET}"},
        {"url": f"http://127.0.0.1:PORT/a?%74oken={SECRET}"},
        {"url": f"http://127.0.0.1:PORT/a?token=${{id}}{SECRET}"},
        {"headers": {"X-Api-Key": f"${{id}}{SECRET}"}},
        {"headers": {"X-Api-Key": f"{SECRET} "}},
        {"headers": {"Cookie": f'session="{SECRET}"'}},
        {"headers": {"Authorization": f'Digest response="{SECRET}", realm="x"'}},
    ],
)
def test_an_answer_that_repeats_a_secret_of_the_job_is_masked(
    rest: RestServer, action: dict[str, Any]
) -> None:
    url = f"http://127.0.0.1:{rest.port}/a"
    fields = {"type": "http", "url": url} | action
    fields["url"] = fields["url"].replace("PORT", str(rest.port))
    row = {"id": 7, "name": "x", "every": 60, "action": fields}
    job = validate_row(row, timezone="UTC", permissions=Permissions(http=("*",)))
    assert isinstance(job, Job), job
    run = Run(job, "7@2026-11-23T09:00:00Z", 1_795_424_400.0, 1)
    settings = Settings(http_allow="127.0.0.0/8")
    rest.answer = reply(200, f"you sent {SECRET}; all is well".encode())
    assert perform(run, settings) == "you sent ***; all is well"
    rest.answer = reply(200, "".join(f"\\u{ord(char):04x}" for char in SECRET).encode())
    assert perform(run, settings) == REPEATED


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://ann:pa$$$$w0rd@127.0.0.1/", {}),
        ("http://${secret:USER}:pa$$$$w0rd@127.0.0.1/", {}),
        ("http://127.0.0.1/?token=pa$$$$w0rd", {}),
        ("http://127.0.0.1/", {"X-Api-Key": "pa$$$$w0rd"}),
        ("http://127.0.0.1/", {"Cookie": "a=pa$$$$w0rd; b=$id"}),
    ],
)
def test_a_dollar_in_a_secret_of_the_job(url: str, headers: dict[str, str]) -> None:
    assert "pa$$w0rd" in set(find_literal_secrets(url, headers))


def test_short_and_public_parts_of_a_request_are_not_masked() -> None:
    headers = {"Accept": "application/json", "Authorization": "Basic x", "Idempotency-Key": SECRET}
    assert not list(find_literal_secrets("https://a.example/b?page=123456&token=12345", headers))
