"""The list of the REST service is read completely or not at all, and only when it changed."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import rest_server as answers
from reading import (
    PAGES,
    PLACES,
    ROWS,
    TOKEN,
    failure,
    paths,
    quick,  # noqa: F401
    read,
    settings,
    tokens,
)
from rest_server import JOBS_PATH, RestServer

from cron_tasks.errors import SourceError
from cron_tasks.rest.listing import Source
from cron_tasks.rest.validators import Validators

# The list, whole


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, [f"row {number}" for number in range(1, 8)]),
        (answers.envelope([ROWS]), [f"row {number}" for number in range(1, 8)]),
        (answers.envelope(PAGES), PLACES),
        (answers.envelope(PAGES, key="items", absolute=True), PLACES),
        (answers.envelope(PAGES, key="jobs", count=7), PLACES),
        (answers.envelope(PAGES, key="data", links={"data": [1]}), PLACES),
        (answers.linked(PAGES), PLACES),
    ],
)
def test_each_form_of_the_contract_is_read_with_places(
    rest: RestServer, answer: answers.Answer | None, expected: list[str]
) -> None:
    rest.jobs, rest.answer = list(ROWS), answer
    assert read(rest) == list(zip(expected, ROWS, strict=True))
    assert set(tokens(rest)) == {f"Bearer {TOKEN}"}


def test_rows_of_any_kind_are_passed_on(rest: RestServer) -> None:
    rest.jobs = [{"id": 1}, 5, None, "x", [1], 1.5, True]
    assert [row for _, row in read(rest)] == rest.jobs
    assert read(rest)[1] == ("row 2", 5)


@pytest.mark.parametrize("base", ["", "/", "/base", "/base/"])
def test_the_path_is_joined_to_any_base(rest: RestServer, base: str) -> None:
    rest.answer = answers.reply(200, b"[]")
    assert read(rest.url + base, rest_jobs_path="/list?active=1") == []
    assert paths(rest) == [base.rstrip("/") + "/list?active=1"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(rest: RestServer, code: int) -> None:
    rest.jobs, rest.answer = ROWS[:1], answers.first(1, answers.redirect(JOBS_PATH, code))
    assert read(rest, rest_jobs_path="/old/") == [("row 1", ROWS[0])]
    assert paths(rest) == ["/old/", JOBS_PATH]


def test_next_of_a_redirected_page_is_relative_to_its_final_url(rest: RestServer) -> None:
    def answer(handler: answers.Handler) -> bool:
        if handler.path == "/old/":
            return answers.redirect("/new/list/")(handler)
        return answers.envelope(PAGES)(handler)

    rest.answer = answer
    assert [place for place, _ in read(rest, rest_jobs_path="/old/")] == PLACES
    assert paths(rest)[2] == "/new/list/?page=2"


# Conditional requests


def test_an_unchanged_list_is_one_request(rest: RestServer) -> None:
    rest.jobs = list(ROWS)
    with Source(settings(rest)).open_list(None) as listing:
        assert not listing.not_modified
        rows = iter(listing)
        next(rows)
        assert listing.validators is None, "not before the last row"
        list(rows)
        known = listing.validators
    assert known is not None
    assert "If-None-Match" not in rest.requests[0][2]
    with Source(settings(rest)).open_list(known) as listing:
        assert listing.not_modified
        assert listing.validators == known
    assert rest.requests[1][2]["If-None-Match"] == known.etag
    rest.jobs.append({"id": 8})
    with Source(settings(rest)).open_list(known) as listing:
        assert len(list(listing)) == 8
        assert listing.validators not in (None, known)


def test_pages_have_no_validators(rest: RestServer) -> None:
    rest.answer = answers.envelope(PAGES)
    with Source(settings(rest)).open_list(Validators('"old"', None)) as listing:
        assert len(list(listing)) == 7
        assert listing.validators is None
    conditions = [headers.get("If-None-Match") for _, _, headers in rest.requests]
    assert conditions == ['"old"', None, None]


@pytest.mark.parametrize(
    ("age", "kept"), [(0, False), (1, True), (3600, True), (None, False), (-60, False)]
)
def test_last_modified_counts_once_it_can_no_longer_change(
    rest: RestServer, age: int | None, kept: bool
) -> None:
    now = datetime.now(UTC)
    date = format_datetime(now, usegmt=True)
    stamp = "soon" if age is None else format_datetime(now - timedelta(seconds=age), usegmt=True)
    rest.answer = answers.reply(200, b"[]", Date=date, Last_Modified=stamp)
    with Source(settings(rest)).open_list() as listing:
        list(listing)
        known = listing.validators
    assert known == (Validators(None, stamp) if kept else None)
    read(rest, known)
    assert rest.requests[1][2].get("If-Modified-Since") == (stamp if kept else None)


# Half a list is never the list


def test_a_page_that_fails_fails_the_list(rest: RestServer) -> None:
    def answer(handler: answers.Handler) -> bool:
        misbehave = answers.status(500) if "page=2" in handler.path else answers.envelope(PAGES)
        return misbehave(handler)

    rest.answer = answer
    seen: list[Any] = []
    with (
        pytest.raises(SourceError, match=r"cannot read page 2 of the jobs from .* answered 500"),
        Source(settings(rest)).open_list() as listing,
    ):
        seen.extend(listing)
    assert len(seen) == 3
    assert listing.validators is None


@pytest.mark.parametrize(
    ("following", "words"),
    [
        (JOBS_PATH, "leads back to a page that was already read"),
        ("?", "leads back to a page that was already read"),
        (0, "`next` is neither a URL nor null"),
        (False, "`next` is neither a URL nor null"),
        (5, "`next` is neither a URL nor null"),
        ({"href": "/x"}, "`next` is neither a URL nor null"),
        ("ftp://me:pw@[::1/a?key=1", "`next` leads to ftp://[::1/a, which is not a URL"),
        ("file:///etc/passwd", "`next` leads to file:///etc/passwd, which is not a URL"),
        ("http://[::1", "`next` leads to http://[::1, which is not a URL"),
    ],
)
def test_an_invalid_next_is_an_error(rest: RestServer, following: Any, words: str) -> None:
    rest.answer = answers.reply(200, json.dumps({"results": ROWS, "next": following}).encode())
    assert words in failure(rest)
    assert len(rest.requests) == 1


@pytest.mark.parametrize("following", [None, ""])
def test_the_last_page_has_no_next(rest: RestServer, following: Any) -> None:
    rest.answer = answers.reply(200, json.dumps({"results": ROWS, "next": following}).encode())
    assert len(read(rest)) == 7


@pytest.mark.parametrize("rel", ['"next"', "next"])
def test_the_forms_of_the_link_header(rest: RestServer, rel: str) -> None:
    link = f'<https://127.0.0.1/last>; rel="last", <?page=2>; title="x"; rel={rel}'
    rest.answer = answers.first(1, answers.reply(200, b"[1]", Link=link))
    assert read(rest) == [("row 1", 1)]
    assert paths(rest) == [JOBS_PATH, JOBS_PATH + "?page=2"]
