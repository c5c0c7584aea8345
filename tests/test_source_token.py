"""The token is sent only to the service, and a read leaves nothing behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import rest_server as answers
from helpers import wait_until
from reading import (
    PAGES,
    ROWS,
    TOKEN,
    failure,
    quick,  # noqa: F401
    read,
    settings,
    tokens,
)
from rest_server import JOBS_PATH, RestServer

from cron_tasks.rest.listing import Source


@pytest.fixture
def stranger() -> Iterator[RestServer]:
    with RestServer(ROWS) as server:
        yield server


@pytest.mark.parametrize("how", ["redirect", "next", "link"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_token_does_not_go_elsewhere(
    rest: RestServer, stranger: RestServer, how: str, host: str
) -> None:
    """Neither to another name of the machine nor to another port."""
    there = f"http://{host}:{stranger.port}{JOBS_PATH}"
    back = answers.reply(200, json.dumps({"data": [1], "next": rest.url + "/end"}).encode())
    stranger.answer = back
    leading: dict[str, answers.Answer] = {
        "redirect": answers.redirect(there),
        "next": answers.reply(200, json.dumps({"data": [0], "next": there}).encode()),
        "link": answers.reply(200, b"[0]", Link=f'<{there}>; rel="next"'),
    }

    def answer(handler: answers.Handler) -> bool:
        end = handler.path == "/end"
        return (answers.reply(200, b"[2]") if end else leading[how])(handler)

    rest.answer = answer
    rows = [row for _, row in read(rest)]
    assert rows == ([1, 2] if how == "redirect" else [0, 1, 2])
    assert tokens(stranger) == [None]
    assert tokens(rest) == [f"Bearer {TOKEN}"] * 2, "it is sent again at home"


def test_credentials_that_a_service_names_are_not_used(rest: RestServer) -> None:
    elsewhere = f"http://user:pass@localhost:{rest.port}{JOBS_PATH}"
    rest.answer = answers.first(1, answers.redirect(elsewhere))
    assert read(rest) == []
    assert tokens(rest) == [f"Bearer {TOKEN}", None]


def test_netrc_does_not_replace_the_token(
    rest: RestServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    read(rest)
    read(rest, rest_token=None)
    assert tokens(rest) == [f"Bearer {TOKEN}", None]


def test_an_error_of_another_host_does_not_blame_the_token(
    rest: RestServer, stranger: RestServer
) -> None:
    rest.answer = answers.redirect(stranger.url)
    stranger.answer = answers.status(401)
    assert "to a request without CRON_TASKS_REST_TOKEN" in failure(rest)


# Tidiness


@pytest.mark.parametrize("leave_after", [0, 1, 4])
def test_an_abandoned_read_leaves_nothing_open(rest: RestServer, leave_after: int) -> None:
    rest.answer = answers.envelope(PAGES)
    process = psutil.Process()
    before = process.num_fds()
    with Source(settings(rest)).open_list() as listing:
        rows = iter(listing)
        for _ in range(leave_after):
            next(rows)
        assert process.num_fds() > before
    wait_until(lambda: process.num_fds() <= before, "every socket and file to be closed")
