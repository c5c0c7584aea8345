"""A canary: no spelling in which a service repeats a secret is kept, shown or logged."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from helpers import PATIENCE, wait_until
from helpers import perform as perform_action
from processes import Celery
from reading import failure as sync_failure
from reading import quick  # noqa: F401
from redis import Redis
from rest_server import JOBS_PATH, Handler, RestServer, redirect, reply
from spellings import spellings

from cron_tasks.actions.http import NOT_KEPT, REPEATED
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import Settings
from cron_tasks.text.masking import Mask

SECRET = "k/Y+&'\"<ü=s3cretCanary%"
#: What can be a token of ours, which is visible ASCII.
TOKEN = SECRET.replace("ü", "u")


SPELLINGS = spellings(SECRET)
spelled = pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())


@pytest.fixture
def perform(rest: RestServer, tmp_path: Path) -> Callable[..., tuple[str | None, str | None]]:
    """Run an action with the secret in a header. Return the output and the error."""
    (tmp_path / "KEY").write_text(SECRET + "\n")

    def run(keep: bool = False, **more: Any) -> tuple[str | None, str | None]:
        fields = {"type": "http", "url": rest.url + "/a", **more}
        if not more:
            fields["body"] = "${secret:KEY}"
        permissions = Permissions(http=("*",), secrets=frozenset({"KEY"}))
        row = {"id": 7, "name": "x", "every": 60, "timeout": PATIENCE, "action": fields}
        job = validate_row(row, timezone="UTC", permissions=permissions)
        assert isinstance(job, Job), job
        tick = Run(job, "7@2026-11-23T09:00:00Z", 1_795_424_400.0, 1)
        settings = Settings(http_allow="127.0.0.0/8", secrets_dir=tmp_path, keep_answers=keep)
        try:
            return perform_action(tick, settings), None
        except ActionFailed as error:
            return error.output, str(error)

    return run


@spelled
def test_no_spelling_is_kept(perform: Any, rest: RestServer, spelling: str) -> None:
    rest.answer = reply(200, f"it is {spelling}!".encode(), Content_Type="text/html")
    assert perform() == (NOT_KEPT, None)
    output, _ = perform(keep=True)
    assert output == REPEATED or "***" in output
    assert spelling not in output
    rest.answer = reply(503, spelling.encode())
    assert perform() == (NOT_KEPT, f"POST {rest.url}/a: answered 503 Service Unavailable")


@spelled
def test_no_spelling_in_the_head_of_an_answer_is_shown(
    perform: Any, rest: RestServer, spelling: str
) -> None:
    line = spelling.replace("\n", "").encode().decode("latin-1")

    def odd(handler: Handler) -> bool:
        handler.wfile.write(f"HTTP/1.1 500 {line}\r\nX-Key: {line}\r\n".encode("latin-1"))
        handler.wfile.write(f"Content-Type: text/plain; charset={line}\r\n".encode("latin-1"))
        handler.wfile.write(b"Content-Encoding: x\r\nContent-Length: 1\r\n\r\nx")
        return True

    rest.answer = odd
    error = f"POST {rest.url}/a: answered 500 Internal Server Error"
    assert perform() == (NOT_KEPT, error)
    rest.answer = lambda handler: bool(handler.wfile.write(line.encode("latin-1") + b"\r\n\r\n"))
    assert perform() == (None, f"POST {rest.url}/a: the answer is not HTTP")


@pytest.mark.parametrize(
    ("there", "cause"),
    [
        ("/{}", "answered 500 Internal Server Error"),
        ("http://127.0.0.1:1/{}", "the connection was refused"),
        ("http://{}.invalid/", None),
        ("https://127.0.0.1:PORT/{}", None),
        ("ftp://{}", "redirected to something that is not an http or https URL"),
        ("http://[{}", "redirected to something that is not an http or https URL"),
        ("http://10.0.0.1/{}", "10.0.0.1 is a private address, which CRON_TASKS_HTTP_ALLOW does"),
    ],
)
def test_no_spelling_in_a_redirect_is_shown(
    perform: Any, rest: RestServer, there: str, cause: str | None
) -> None:
    hidden = Mask()
    hidden.hide(SECRET)
    for spelling in SPELLINGS.values():
        line = spelling.replace("\n", "").encode().decode("latin-1")
        where = redirect(there.replace("PORT", str(rest.port)).format(line), 307)
        rest.answer = lambda handler, where=where: (
            where if handler.path == "/a" else reply(500, b"x")
        )(handler)
        output, error = perform(headers={"X": "Basic ${secret:KEY}"})
        assert output in (None, NOT_KEPT)
        assert cause is None or cause in error
        assert error.startswith(f"GET {rest.url}/a")
        assert not hidden.occurs_in(error)
        assert "canary" not in error.lower()


def test_the_url_of_the_job_is_shown_without_the_secret(perform: Any, rest: RestServer) -> None:
    rest.answer = reply(404, b"")
    url = rest.url + "/$id/${secret:KEY}/b?c=${secret:KEY}"
    assert perform(url=url)[1] == f"GET {rest.url}/7/***/b: answered 404 Not Found"


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "cp037", "rot13"])
def test_no_charset_is_a_way_around(perform: Any, rest: RestServer, charset: str) -> None:
    rest.answer = reply(200, SECRET.encode() * 2, Content_Type=f"text/plain; charset={charset}")
    assert perform() == (NOT_KEPT, None)
    output, _ = perform(keep=True)
    assert output == REPEATED or SECRET not in output


def test_a_compressed_body_is_not_kept(perform: Any, rest: RestServer) -> None:
    rest.answer = reply(200, gzip.compress(SECRET.encode()), Content_Encoding="gzip")
    assert perform() == (NOT_KEPT, None)
    assert perform(keep=True) == ("(a body in gzip, which is not kept)", None)


def test_an_answer_without_the_secret_is_kept_with_keep_answers(
    perform: Any, rest: RestServer
) -> None:
    rest.answer = reply(200, b"all is well: 100 % of &amp; \\u0041 =41 dXNlcg==")
    assert perform() == (NOT_KEPT, None)
    assert perform(keep=True)[0] == "all is well: 100 % of &amp; \\u0041 =41 dXNlcg=="
    assert perform(json={"a": 1}, keep=False)[0] is not NOT_KEPT, "no secret was sent"
    rest.answer = reply(200, b"")
    assert perform() == (None, None)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("padding", [0, 150])
def test_the_token_of_the_rest_service_is_not_shown(
    rest: RestServer, name: str, padding: int
) -> None:
    """Not even a part of it, where a long address is cut."""
    text = spellings(TOKEN)[name].replace("\n", "").encode().decode("latin-1")
    rest.answer = redirect("/" + "x" * padding + text)
    told = sync_failure(rest, rest_token=Settings(rest_token=TOKEN).rest_token)
    hidden = Mask()
    hidden.hide(TOKEN)
    assert not hidden.occurs_in(told)
    assert text[:12] not in told
    assert "canary" not in told.lower()
    assert "cannot read the jobs from" in told


def test_the_secret_is_stored_nowhere(
    celery: Celery, redis: Redis, rest: RestServer, tmp_path: Path
) -> None:
    """Output, errors, notifications, logs, history and reports, of a real worker and beat."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "KEY").write_text(SECRET)
    said = "\n".join(SPELLINGS.values()).encode()

    def answer(handler: Handler) -> bool:
        if handler.path == JOBS_PATH:
            return False
        if handler.path.startswith("/odd"):
            return redirect("http://[" + quote(said.decode()[:2000]))(handler)
        return reply(503 if handler.path == "/fails" else 200, said)(handler)

    rest.answer = answer
    action = {"type": "http", "headers": {"X-Key": "${secret:KEY}"}}
    template = "$name: $status $error"
    rest.jobs = [
        {"id": n, "name": path, "every": 1, "action": action | {"url": f"{rest.url}/{path}"}}
        | {"chat_id": 1, "notify": {"template": template}}
        for n, path in enumerate(("well", "fails", "odd"))
    ]
    env = {
        "CRON_TASKS_SECRETS_DIR": str(tmp_path / "secrets"),
        "CRON_TASKS_HTTP_ALLOW": "127.0.0.1",
        "CRON_TASKS_REST_REPORT_PATH": JOBS_PATH + "{id}",
        "CRON_TASKS_LOG_LEVEL": "DEBUG",
    }
    started = [celery.worker(**env), celery.beat(**env)]
    wait_until(lambda: {each for each, _ in rest.patches} >= {"0", "1", "2"}, "a report of each")
    wait_until(lambda: redis.llen("queue:to_telegram") >= 6, "notifications")
    for process in started:
        process.terminate()
    told = [process.output for process in started] + [json.dumps(rest.patches)]
    for key in redis.scan_iter(count=1000):
        told.append(str(redis.dump(key)))
        match redis.type(key):
            case "list":
                told += redis.lrange(key, 0, -1)
            case "hash":
                told += [text for pair in redis.hgetall(key).items() for text in pair]
            case "zset":
                told += redis.zrange(key, 0, -1)
    everything = "\n".join(map(str, told))
    assert NOT_KEPT in everything
    assert "answered 503 Service Unavailable" in everything
    for name, spelling in SPELLINGS.items():
        assert spelling not in everything, name
        assert json.dumps(spelling)[1:-1] not in everything, name
