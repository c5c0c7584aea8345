"""Lists in pages, over HTTP: each form is read to its end, and an incomplete list is refused."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import rest_server as answers
from reading import (
    failure,
    quick,  # noqa: F401
    read,
)
from rest_server import Handler, RestServer

ROWS = [{"id": n} for n in range(1, 8)]
SIZE = 3


def asked(handler: Handler, name: str, default: int) -> int:
    return int(parse_qs(urlsplit(handler.path).query).get(name, [default])[0])


def send(handler: Handler, document: Any, **headers: str) -> bool:
    return answers.reply(200, json.dumps(document).encode(), **headers)(handler)


def by_page(handler: Handler) -> bool:
    """fastapi-pagination's Page."""
    page, size = asked(handler, "page", 1), asked(handler, "size", SIZE)
    rows = ROWS[(page - 1) * size : page * size]
    stated = {"total": len(ROWS), "page": page, "size": size, "pages": -(-len(ROWS) // size)}
    return send(handler, {"items": rows} | stated)


def by_offset(handler: Handler) -> bool:
    """fastapi-pagination's LimitOffsetPage."""
    offset, limit = asked(handler, "offset", 0), asked(handler, "limit", SIZE)
    stated = {"total": len(ROWS), "limit": limit, "offset": offset}
    return send(handler, {"items": ROWS[offset : offset + limit]} | stated)


def by_cursor(handler: Handler) -> bool:
    """Slack's and many others' cursors."""
    at = asked(handler, "cursor", 0)
    more = at + SIZE < len(ROWS)
    stated = {"has_more": more, "next_cursor": str(at + SIZE) if more else None}
    return send(handler, {"data": ROWS[at : at + SIZE]} | stated)


def by_strapi(handler: Handler) -> bool:
    page = asked(handler, "pagination[page]", 1)
    pages = {"page": page, "pageSize": SIZE, "pageCount": 3, "total": len(ROWS)}
    rows = ROWS[(page - 1) * SIZE : page * SIZE]
    return send(handler, {"data": rows, "meta": {"pagination": pages}})


def by_continue(handler: Handler) -> bool:
    """Kubernetes' lists."""
    at = asked(handler, "continue", 0)
    following = str(at + SIZE) if at + SIZE < len(ROWS) else ""
    return send(handler, {"items": ROWS[at : at + SIZE], "metadata": {"continue": following}})


def by_json_api(handler: Handler) -> bool:
    """JSON:API, as djangorestframework-jsonapi and others write it."""
    page = asked(handler, "page[number]", 1)
    rows = ROWS[(page - 1) * SIZE : page * SIZE]
    url = f"{handler.rest.url}/api/cronjobs/?page%5Bnumber%5D="
    links = {"first": f"{url}1", "last": f"{url}3", "next": f"{url}{page + 1}", "prev": None}
    if page == 3:
        links["next"] = None
    stated = {"page": page, "pages": 3, "count": len(ROWS)}
    return send(handler, {"data": rows, "links": links, "meta": {"pagination": stated}})


def by_laravel(handler: Handler) -> bool:
    page = asked(handler, "page", 1)
    following = f"{handler.rest.url}/api/cronjobs/?page={page + 1}" if page < 3 else None
    rows = ROWS[(page - 1) * SIZE : page * SIZE]
    return send(handler, {"data": rows, "next_page_url": following, "total": len(ROWS)})


def by_link(handler: Handler) -> bool:
    page = asked(handler, "page", 1)
    link = f'<?page={page + 1}>; rel="Next Last"' if page < 3 else '<?page=1>; rel="first"'
    return send(handler, ROWS[(page - 1) * SIZE : page * SIZE], Link=link)


@pytest.mark.parametrize(
    "form",
    [by_page, by_offset, by_cursor, by_strapi, by_continue, by_json_api, by_laravel, by_link],
)
def test_each_form_is_read_to_its_end(rest: RestServer, form: Any) -> None:
    rest.answer = form
    rows = read(rest)
    assert [row for _, row in rows] == ROWS
    assert len(rest.requests) == 3


def plain(handler: Handler) -> bool:
    """A service that accepts parameters and gives no hint about pages."""
    offset, limit = asked(handler, "offset", 0), asked(handler, "limit", SIZE)
    page, size = asked(handler, "page", 1), asked(handler, "size", 0)
    first = (page - 1) * size if size else offset
    return send(handler, ROWS[first : first + (size or limit)])


@pytest.mark.parametrize(
    "setting",
    [
        "page=1&size=3",
        "offset=0&limit=3",
        "page=1&size=7",
        "limit=3&offset=0",
        "o=id&size=3&page=1",
    ],
)
def test_pages_are_numbered_by_the_setting(rest: RestServer, setting: str) -> None:
    rest.answer = plain
    assert [row for _, row in read(rest, rest_pagination=setting)] == ROWS


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"items": ROWS, "total": 60, "size": 7}, "7 of 60 jobs arrived"),
        ({"count": 60, "next": None, "results": ROWS}, "7 of 60 jobs arrived"),
        ({"data": ROWS, "has_more": True}, "more jobs exist than arrived"),
        ({"items": ROWS, "pages": 2}, "page 1 of 2 arrived"),
    ],
)
def test_half_a_list_is_refused_in_words(rest: RestServer, document: Any, reason: str) -> None:
    rest.answer = answers.reply(200, json.dumps(document).encode())
    text = failure(rest)
    assert reason in text
    assert "where is the next page? Set CRON_TASKS_REST_PAGINATION, e.g. page=1&size=100" in text


@pytest.mark.parametrize(
    ("expression", "document", "reason"),
    [
        ("data.list", {"data": {"list": ROWS[:3], "total": 7}}, "3 of 7 jobs arrived"),
        ("hits.hits[]", {"hits": {"hits": ROWS[:3], "total": {"value": 7}}}, "3 of 7 jobs"),
        (
            "data.jobs.edges[].node",
            {"data": {"jobs": {"edges": [{"node": ROWS[0]}], "pageInfo": {"hasNextPage": True}}}},
            "more jobs exist",
        ),
    ],
)
def test_what_stands_beside_mapped_jobs_counts(
    rest: RestServer, expression: str, document: Any, reason: str
) -> None:
    rest.answer = answers.reply(200, json.dumps(document).encode())
    assert reason in failure(rest, rest_mapping={"jobs": expression})


def test_a_next_that_is_mapped_to_false_is_the_end(rest: RestServer) -> None:
    """In Stripe's lists, `&&` of JMESPath gives false on the last page."""

    def by_last_id(handler: Handler) -> bool:
        at = asked(handler, "starting_after", 0)
        return send(handler, {"data": ROWS[at : at + SIZE], "has_more": at + SIZE < len(ROWS)})

    rest.answer = by_last_id
    following = "has_more && join('', ['?starting_after=', to_string(data[-1].id)])"
    rows = read(rest, rest_mapping={"jobs": "data[]", "next": following})
    assert [row for _, row in rows] == ROWS


def test_a_content_range_that_ends_early_is_refused(rest: RestServer) -> None:
    body = json.dumps(ROWS).encode()
    rest.answer = answers.reply(200, body, Content_Range="items 0-6/9")
    assert "7 of 9 jobs arrived" in failure(rest)


def test_pages_of_partial_content_need_the_setting(rest: RestServer) -> None:
    def by_range(handler: Handler) -> bool:
        first = asked(handler, "offset", 0)
        rows = ROWS[first : first + SIZE]
        span = f"items {first}-{first + len(rows) - 1}/{len(ROWS)}"
        return answers.reply(206, json.dumps(rows).encode(), Content_Range=span)(handler)

    rest.answer = by_range
    text = failure(rest)
    assert (
        "206 Partial Content in place of 200 and a list; check CRON_TASKS_REST_PAGINATION" in text
    )
    rows = read(rest, rest_pagination="offset=0&limit=3")
    assert [row for _, row in rows] == ROWS


def test_a_service_that_ignores_the_numbering_is_refused(rest: RestServer) -> None:
    rest.answer = answers.reply(200, json.dumps(ROWS[:3]).encode())
    text = failure(rest, rest_pagination="page=1&size=3")
    assert "the service ignores the parameters of CRON_TASKS_REST_PAGINATION" in text


def test_a_service_that_ignores_the_page_it_named_is_refused(rest: RestServer) -> None:
    stated = {"page": 1, "pages": 2, "total": 7}
    rest.answer = answers.reply(200, json.dumps({"items": ROWS[:4]} | stated).encode())
    assert "leads back to a page that was already read" in failure(rest)


def test_pages_that_repeat_the_first_one_do_not_make_up_the_total(rest: RestServer) -> None:
    """The service has another parameter for its pages. Each answer has another time."""
    times = iter(range(9))

    def ignore_the_page(handler: Handler) -> bool:
        stated = {"page": 1, "size": 3, "total": 6, "time": next(times)}
        return send(handler, {"items": ROWS[:3]} | stated)

    rest.answer = ignore_the_page
    text = failure(rest)
    assert "leads back to a page that was already read; where is the next page? Set" in text


def test_a_list_that_became_shorter_while_it_was_read_is_refused(rest: RestServer) -> None:
    rows = [*ROWS]

    def remove_one(handler: Handler) -> bool:
        page = asked(handler, "page", 1)
        if page == 2 and len(rows) == len(ROWS):
            rows.pop(0)
        shown = rows[(page - 1) * SIZE : page * SIZE]
        return send(handler, {"items": shown, "page": page, "size": SIZE, "total": len(rows)})

    rest.answer = remove_one
    assert "became shorter while it was read, so that a row may be missing" in failure(rest)
    assert [row for _, row in read(rest)] == ROWS[1:]


def test_a_full_page_that_comes_again_is_refused(rest: RestServer) -> None:
    """The parameter has another name, so the second page cannot be found."""
    rest.answer = answers.reply(200, json.dumps({"items": ROWS, "page": 1, "size": 7}).encode())
    text = failure(rest)
    assert "the page before is full, and this one is the same (if there are no more, set" in text
    assert "where is the next page? Set CRON_TASKS_REST_PAGINATION" in text
    (mapping,) = re.findall(r"CRON_TASKS_REST_MAPPING=(\{.*?\})", text)
    assert len(read(rest, rest_mapping=json.loads(mapping))) == 7
    rest.answer = answers.reply(200, json.dumps({"items": ROWS, "limit": 7}).encode())
    assert "7 jobs arrived, as many as a page may have (if there are no more, set" in failure(rest)
    assert len(read(rest, rest_mapping=json.loads(mapping))) == 7


@pytest.mark.parametrize("body", [b"", b"<html>Not Found</html>"])
def test_a_missing_page_without_words_is_not_the_end(rest: RestServer, body: bytes) -> None:
    def lose_a_page(handler: Handler) -> bool:
        return asked(handler, "page", 1) == 1 and send(handler, ROWS[:3])

    rest.answer = lambda handler: lose_a_page(handler) or answers.reply(404, body)(handler)
    assert "page 2 of the jobs" in failure(rest, rest_pagination="page=1&size=3")


def test_a_next_page_that_only_the_proxy_can_reach_is_hinted_at(rest: RestServer) -> None:
    there = "http://127.0.0.1:1/api/cronjobs/?page=2"
    rest.answer = answers.reply(200, json.dumps({"results": ROWS, "next": there}).encode())
    text = failure(rest)
    assert f"`next` leads from {rest.url} to http://127.0.0.1:1" in text
    assert "X-Forwarded-Proto" in text
