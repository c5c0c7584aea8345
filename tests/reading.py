"""Helpers for reading a list with the REST client. Importing `quick` makes its retries quick."""

import json
from typing import Any

import pytest
from helpers import PATIENCE
from rest_server import RestServer

from cron_tasks.errors import SourceError
from cron_tasks.rest import client
from cron_tasks.rest.listing import Source
from cron_tasks.rest.validators import Validators
from cron_tasks.settings import Settings

TOKEN = "t0ken-s3cret"
ROWS = [{"id": number, "name": f"Job {number}"} for number in range(1, 8)]
BODY = json.dumps(ROWS).encode()
PAGES = [ROWS[:3], ROWS[3:6], ROWS[6:]]
PLACES = [
    *("row 1", "row 2", "row 3", "page 2, row 1", "page 2, row 2", "page 2, row 3"),
    "page 3, row 1",
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts, no proxy of the machine."""
    monkeypatch.setattr(client, "RETRY", client.RETRY | {"backoff_factor": 0, "backoff_jitter": 0})
    monkeypatch.setenv("NO_PROXY", "*")


def settings(rest: RestServer | str, **changes: Any) -> Settings:
    """Return settings for `rest`. `changes` may be outside the allowed range, to keep the tests
    quick."""
    url = rest if isinstance(rest, str) else rest.url
    given = {"rest_token": TOKEN, "rest_timeout": PATIENCE, "rest_deadline": PATIENCE}
    return Settings(**given, rest_url=url).model_copy(update=changes)


def read(
    rest: RestServer | str, known: Validators | None = None, **changes: Any
) -> list[tuple[str, Any]]:
    with Source(settings(rest, **changes)).open_list(known) as listing:
        return list(listing)


def failure(rest: RestServer | str, **changes: Any) -> str:
    with pytest.raises(SourceError) as caught:
        read(rest, **changes)
    return str(caught.value)


def paths(rest: RestServer) -> list[str]:
    return [path for _, path, _ in rest.requests]


def tokens(rest: RestServer) -> list[str | None]:
    return [headers.get("Authorization") for _, _, headers in rest.requests]
