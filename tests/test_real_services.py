"""Real services, read over HTTP: Django REST Framework under gunicorn, FastAPI under uvicorn."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import PATIENCE
from processes import GUNICORN, UVICORN, running_service
from pydantic import SecretStr
from reading import (
    failure,
    quick,  # noqa: F401
    read,
    settings,
)

from cron_tasks.rest.listing import Source
from cron_tasks.rest.reports import Patcher
from cron_tasks.rest.single import read_jobs

SERVICES = Path(__file__).parent / "services"


@pytest.fixture(scope="module")
def drf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("drf")
    command = [*GUNICORN, "drf_service:application"]
    with running_service(
        command, SERVICES, folder / "log", JOBS_DATABASE=str(folder / "db")
    ) as url:
        yield url


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("fastapi")
    command = [*UVICORN, "fastapi_service:app"]
    with running_service(command, SERVICES, folder / "log") as url:
        yield url


IDS = list(range(1, 61))
#: Sixty jobs, in pages of 25 (Django REST Framework) or 50 (fastapi-pagination).
REFUSED = "jobs arrived; where is the next page? Set CRON_TASKS_REST_PAGINATION, e.g. page=1&size"


def read_ids(url: str, name: str, **changes: Any) -> list[int]:
    return [row["id"] for _, row in read(url, rest_jobs_path=f"/api/{name}/", **changes)]


def fail(url: str, name: str, **changes: Any) -> str:
    return failure(url, rest_jobs_path=f"/api/{name}/", **changes)


@pytest.mark.parametrize(
    "name", ["whole", "page", "limit", "cursor", "linked", "header", "numbered", "sized"]
)
def test_each_style_of_drf_is_read_whole(drf: str, name: str) -> None:
    assert read_ids(drf, name) == IDS


@pytest.mark.parametrize(
    ("name", "pagination"),
    [
        *(("silent", "page=1&page_size=25"), ("bare", "page=1&page_size=25")),
        # The last page is full, and Django answers 404 to the one after it.
        *(("bare", "page=1&page_size=20"), ("silent", "page=1&page_size=60")),
        # The service gives smaller pages than it is asked for.
        *(("bare", "page=1&page_size=100"), ("silent", "page=1&page_size=100")),
        *(("limit", "offset=0&limit=20"), ("limit", "offset=0&limit=100")),
        # The service does not page, whatever it is asked for.
        *(("whole", "page=1&page_size=100"), ("whole", "offset=0&limit=100")),
    ],
)
def test_drf_is_read_whole_by_the_setting(drf: str, name: str, pagination: str) -> None:
    assert read_ids(drf, name, rest_pagination=pagination) == IDS


def test_a_total_of_drf_without_a_way_is_refused(drf: str) -> None:
    assert f"25 of 60 {REFUSED}" in fail(drf, "silent")
    ignored = fail(drf, "whole", rest_pagination="page=1&page_size=60")
    assert "the service ignores the parameters of CRON_TASKS_REST_PAGINATION" in ignored


@pytest.mark.parametrize(
    "name",
    [
        *("page", "offset", "links", "offset-links", "header", "offset-header", "cursor"),
        *("optional", "optional-offset", "aliases", "no-pages", "no-total"),
        *("uncounted", "uncounted-offset", "uncounted-cursor"),
    ],
)
def test_each_style_of_fastapi_pagination_is_read_whole(fastapi: str, name: str) -> None:
    assert read_ids(fastapi, name) == IDS


@pytest.mark.parametrize("name", ["only-total", "only-items", "range"])
def test_a_total_without_a_way_is_refused_and_read_by_the_setting(fastapi: str, name: str) -> None:
    assert f"50 of 60 {REFUSED}" in fail(fastapi, name)
    assert read_ids(fastapi, name, rest_pagination="page=1&size=50") == IDS


def test_a_size_that_the_service_does_not_allow_is_refused_in_its_words(fastapi: str) -> None:
    text = fail(fastapi, "page", rest_pagination="page=1&size=1000")
    assert "422 Unprocessable" in text
    assert "in its own words: query.size: Input should be less than or equal to 100" in text


def test_a_full_last_page_is_the_end(fastapi: str) -> None:
    for name in ("uncounted", "no-total"):
        assert read_ids(fastapi, f"{name}", rest_pagination="page=1&size=30") == IDS
    assert read(fastapi, rest_jobs_path="/api/uncounted/?size=30")[-1][1]["id"] == 60


def test_a_path_without_the_slash_is_redirected(drf: str, fastapi: str) -> None:
    assert [row["id"] for _, row in read(fastapi, rest_jobs_path="/api/cursor")] == IDS
    assert [row["id"] for _, row in read(fastapi, rest_jobs_path="/api/bearer", **BEARER)] == IDS
    rows = read(drf, rest_jobs_path="/api/page")
    assert [row["id"] for _, row in rows] == IDS
    assert [row["id"] for _, row in read(drf, rest_jobs_path="/api/token", **LOGIN)] == IDS


def test_drf_answers_gzip_and_knows_its_etag(drf: str) -> None:
    answer = requests.get(f"{drf}/api/whole/", timeout=PATIENCE)
    assert answer.headers["Content-Encoding"] == "gzip"
    source = Source(settings(drf, rest_jobs_path="/api/whole/"))
    with source.open_list() as listing:
        assert len(list(listing)) == 60
    assert listing.validators is not None
    assert listing.validators.etag == answer.headers["ETag"]
    with source.open_list(listing.validators) as again:
        assert again.not_modified


#: What tests/services/drf_service.py takes.
LOGIN = {"rest_auth_scheme": "Token", "rest_token": SecretStr("drf-t0ken-of-a-user")}
PASSWORD = {"rest_auth_scheme": "Basic", "rest_token": SecretStr("aladdin:open-sesame")}


def test_drf_takes_a_token_or_a_password(drf: str) -> None:
    assert read_ids(drf, "token", **LOGIN) == read_ids(drf, "basic", **PASSWORD) == IDS


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("token", {}, "asks for another scheme: set CRON_TASKS_REST_AUTH_SCHEME=Token; in its own"),
        ("basic", LOGIN, "set CRON_TASKS_REST_AUTH_SCHEME=Basic; in its own words: Authentication"),
        ("token", {"rest_auth_scheme": "Token"}, "check CRON_TASKS_REST_TOKEN; in its own words: "),
        ("token", {"rest_auth_scheme": "Token"}, "own words: Invalid token."),
        ("basic", PASSWORD | {"rest_token": SecretStr("x:y")}, "words: Invalid username/password."),
        (
            "forbidden",
            LOGIN,
            "403 Forbidden; check CRON_TASKS_REST_TOKEN; in its own words: You",
        ),
        ("token", {"rest_token": None}, "401 Unauthorized to a request without CRON_TASKS_REST_TO"),
    ],
)
def test_drf_refuses_in_its_own_words(
    drf: str, name: str, changes: dict[str, Any], words: str
) -> None:
    assert words in fail(drf, name, **changes)


BEARER = {"rest_token": SecretStr("bearer-t0ken")}
KEY = {"rest_token": None, "rest_headers": {"X-Api-Key": SecretStr("k3y-of-a-client")}}
WRONG_KEY = KEY | {"rest_headers": {"X-Api-Key": SecretStr("wrong")}}


def test_fastapi_takes_a_token_or_a_key(fastapi: str) -> None:
    assert read_ids(fastapi, "bearer", **BEARER) == read_ids(fastapi, "key", **KEY) == IDS


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("bearer", {}, "403 Forbidden; check CRON_TASKS_REST_TOKEN; in its own words: This token"),
        (
            "bearer",
            LOGIN,
            "401 Unauthorized and asks for another scheme: set CRON_TASKS_REST_AUTH_",
        ),
        ("key", WRONG_KEY, "403 Forbidden; check CRON_TASKS_REST_HEADERS; in its own words: This "),
        ("key", WRONG_KEY | BEARER, "check CRON_TASKS_REST_TOKEN and CRON_TASKS_REST_HEADERS; in"),
        ("key", {"rest_token": None}, "in its own words: Not authenticated"),
    ],
)
def test_fastapi_refuses_in_its_own_words(
    fastapi: str, name: str, changes: dict[str, Any], words: str
) -> None:
    assert words in fail(fastapi, name, **changes)


def test_a_throttled_list_is_waited_for_or_refused(drf: str) -> None:
    """Two requests a second are allowed, and the list has three pages."""
    assert read_ids(drf, "second") == IDS
    assert len(read_ids(drf, "hour")) == 60
    text = fail(drf, "hour", rest_deadline=10)
    assert "within 10 s (CRON_TASKS_REST_DEADLINE): the service answered 429 Too Many Req" in text
    (seconds,) = re.findall(r"and asks to wait (\d+) s", text)
    assert 3500 < int(seconds) <= 3600


def test_single_rows_and_reports_of_drf(drf: str) -> None:
    def given(**changes: Any) -> Any:
        return settings(drf, rest_jobs_path="/api/whole/", **changes)

    assert [row["name"] for _, row in read_jobs(given(), ["7", "60"])] == ["Job 7", "Job 60"]
    body = json.dumps({"last_status": "ok", "next_run_at": "2026-11-24T09:00:00Z"}).encode()
    with Patcher(given(rest_report_path="/api/whole/{id}/"), 1) as patcher:
        assert patcher.send_report("7", body).verdict == "taken"
        assert patcher.send_report("99", body).verdict == "unknown"
    ((_, row),) = read_jobs(given(), ["7"])
    assert (row["last_status"], row["name"]) == ("ok", "Job 7")
    with Patcher(given(rest_report_path="/api/whole/{id}"), 1) as patcher:
        answer = patcher.send_report("8", body)
    assert answer.verdict == "refused"
    assert answer.cause.endswith("check CRON_TASKS_REST_REPORT_PATH: end it with a slash")
