"""Find the next page in the forms that services use, and notice incomplete lists."""

from typing import Any

import pytest

from cron_tasks.rest.links import find_link, proxy_hint
from cron_tasks.rest.numbering import Numbering
from cron_tasks.rest.page import Changed, Incomplete, Page
from cron_tasks.rest.pagination import check_unchanged, find_next, guess_next

URL = "http://service:8000/api/jobs/?tag=x"


def page(
    envelope: dict[str, Any], rows: int = 2, first: int = 0, url: str = URL, **headers: str
) -> Page:
    return Page(url, rows, first, envelope, {k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    ("envelope", "following"),
    [
        # Laravel, JSON:API, HAL, OData, plain.
        ({"links": {"next": "/api/jobs/?page=2", "prev": None}}, "/api/jobs/?page=2"),
        ({"links": {"next": {"href": "/api/jobs?p=2"}}}, "/api/jobs?p=2"),
        ({"_links": {"next": {"href": "/api/jobs?p=2"}}}, "/api/jobs?p=2"),
        ({"next_page_url": "http://service:8000/x?page=2"}, "http://service:8000/x?page=2"),
        ({"meta": {"next": "?page=2"}}, "?page=2"),
        ({"@odata.nextLink": "jobs?$skip=2"}, "jobs?$skip=2"),
        # fastapi-pagination: Page, LimitOffsetPage, CursorPage.
        ({"total": 6, "page": 1, "size": 2, "pages": 3}, f"{URL}&page=2"),
        ({"total": 6, "limit": 2, "offset": 0}, f"{URL}&offset=2&limit=2"),
        ({"next_page": "Zm9v", "total": 6}, f"{URL}&cursor=Zm9v"),
        # A page number and a size, with a total in place of the number of pages.
        ({"total": 6, "page": 1, "size": 2}, f"{URL}&page=2"),
        ({"meta": {"TotalCount": 6, "currentPage": 1, "perPage": 2}}, f"{URL}&page=2"),
        ({"next_cursor": 17}, f"{URL}&cursor=17"),
        # Jira, PocketBase, Oracle's ORDS, HubSpot, Twilio, AWS.
        (
            {"startAt": 0, "maxResults": 2, "total": 6, "isLast": False},
            f"{URL}&startAt=2&maxResults=2",
        ),
        ({"page": 1, "perPage": 2, "totalItems": 6, "totalPages": 3}, f"{URL}&page=2"),
        ({"hasMore": True, "links": [{"rel": "self"}, {"rel": "next", "href": "?o=2"}]}, "?o=2"),
        ({"paging": {"next": {"after": "2", "link": "?after=2"}}}, "?after=2"),
        ({"next_page_uri": "/jobs?Page=1"}, "/jobs?Page=1"),
        ({"nextToken": "t="}, f"{URL}&nextToken=t%3D"),
        # Strapi, Spring, Rails' will_paginate.
        (
            {"meta": {"pagination": {"page": 1, "pageSize": 2, "pageCount": 3, "total": 6}}},
            f"{URL}&pagination%5Bpage%5D=2",
        ),
        ({"page": {"size": 2, "totalElements": 6, "totalPages": 3, "number": 0}}, f"{URL}&page=1"),
        ({"meta": {"current_page": 1, "last_page": 3, "total": 6}}, f"{URL}&page=2"),
        # Kubernetes, Slack, Google.
        ({"metadata": {"continue": "abc=", "resourceVersion": "7"}}, f"{URL}&continue=abc%3D"),
        ({"response_metadata": {"next_cursor": "dXNl"}}, f"{URL}&cursor=dXNl"),
        ({"has_more": True, "next_cursor": "c2"}, f"{URL}&cursor=c2"),
        ({"nextPageToken": "t"}, f"{URL}&pageToken=t"),
        # Numbers as texts (PHP), Cloudflare, Salesforce, and the number of the next page alone.
        ({"current_page": "1", "last_page": "3", "total": "6"}, f"{URL}&page=2"),
        (
            {"result_info": {"page": 1, "total_pages": 3, "count": 2, "total_count": 6}},
            f"{URL}&page=2",
        ),
        ({"totalSize": 6, "done": False, "nextRecordsUrl": "/query/2"}, "/query/2"),
        ({"info": {"count": 6, "pages": 3, "next_url": "/?page=2"}}, "/?page=2"),
        ({"next_page": 2}, f"{URL}&page=2"),
        # A number or a cursor beside a total or a number of pages.
        ({"total": 6, "next_page": 2}, f"{URL}&page=2"),
        ({"meta": {"next_page": 2, "total_pages": 3, "total_count": 6}}, f"{URL}&page=2"),
        # API Platform, OData 2 and 3, Airtable, HubSpot, Express, Rick and Morty's API.
        ({"view": {"next": "/jobs?page=2"}, "totalItems": 6}, "/jobs?page=2"),
        ({"hydra:totalItems": 6, "hydra:view": {"hydra:next": "/jobs?page=2"}}, "/jobs?page=2"),
        ({"__next": "http://service/x?$skip=2", "__count": "6"}, "http://service/x?$skip=2"),
        ({"odata.nextLink": "x?$skip=2"}, "x?$skip=2"),
        ({"offset": "itr2/rec7"}, f"{URL}&offset=itr2%2Frec7"),
        ({"paging": {"next": {"after": "2"}}}, f"{URL}&after=2"),
        ({"count": 2, "pagination": {"next": {"page": 2, "limit": 2}}}, f"{URL}&page=2&limit=2"),
        ({"info": {"count": 6, "pages": 3, "next": "/?page=2", "prev": None}}, "/?page=2"),
        ({"NextToken": "t"}, f"{URL}&NextToken=t"),
        # `count` may be the number of rows of the page.
        ({"count": 2, "next_page": 2}, f"{URL}&page=2"),
        # A position, and that there is more: PagerDuty, Spring's Slice.
        ({"limit": 9, "offset": 0, "more": True}, f"{URL}&offset=2&limit=9"),
        ({"number": 0, "last": False}, f"{URL}&page=1"),
    ],
)
def test_the_next_page_is_found(envelope: dict[str, Any], following: str) -> None:
    assert find_next(page(envelope)) == following


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"count": 2},
        {"total": 2, "page": 1, "size": 50, "pages": 1},
        {"links": {"next": None}, "meta": {"current_page": 1, "last_page": 1, "total": 2}},
        {"has_more": False, "next_cursor": None},
        {"metadata": {"continue": ""}},
        {"page": {"size": 2, "totalElements": 2, "totalPages": 1, "number": 0}},
        {"total": 2, "limit": 2, "offset": 0},
        {"pages": 0, "total": 0, "page": 1},
        {"count": True, "total": "many"},
        {"summary": {"total": 2}, "paging": {"next": None}, "more": 0},
        # These count other things.
        {"stats": {"total": 60}, "quota": {"total": 50, "limit": 2}, "_shards": {"total": 50}},
        {"logs": {"items": [], "has_more": True, "total": 99}, "total_runs": 60},
        {"info": {"next": "2027-01-01"}, "summary": {"next": 9, "runs": {"total": 60}}},
    ],
)
def test_the_last_page_is_the_last(envelope: dict[str, Any]) -> None:
    assert find_next(page(envelope)) is None


def test_the_last_of_several_pages_is_the_last() -> None:
    assert find_next(page({"total": 6, "page": 3, "size": 2, "pages": 3}, first=4)) is None
    stated = {"page": {"totalElements": 6, "totalPages": 3, "number": 2}}
    assert find_next(page(stated, first=4)) is None
    assert find_next(page({"total": 5, "limit": 2, "offset": 4}, rows=1, first=4)) is None
    unnumbered = Page(URL, 2, 4, {"info": {"count": 6, "pages": 3, "next": None}}, {}, number=3)
    assert find_next(unnumbered) is None


@pytest.mark.parametrize(
    ("envelope", "headers", "reason"),
    [
        ({"count": 6}, {}, "2 of 6 jobs arrived"),
        ({"total": 60, "pages": 2}, {}, "2 of 60 jobs arrived"),
        ({"pages": 2}, {}, "page 1 of 2 arrived"),
        ({"has_more": True}, {}, "more jobs exist than arrived"),
        ({"pagination": {"hasNextPage": True}}, {}, "more jobs exist"),
        ({}, {"Content_Range": "items 0-1/6"}, "2 of 6 jobs arrived"),
        ({}, {"X_Total_Count": "6"}, "2 of 6 jobs arrived"),
        ({}, {"X_WP_Total": "6"}, "2 of 6 jobs arrived"),
        ({"last": False}, {}, "more jobs exist"),
        ({"isLastPage": False, "nextPageStart": 2}, {}, "more jobs exist"),
        ({"TotalCount": 6}, {}, "2 of 6 jobs arrived"),
        ({"@odata.count": 6}, {}, "2 of 6 jobs arrived"),
        ({"pageInfo": {"hasNextPage": True}}, {}, "more jobs exist"),
        ({"meta": {"pagination": {"total": 3}}}, {}, "2 of 3 jobs arrived"),
        ({"total": {"value": 6, "relation": "eq"}}, {}, "2 of 6 jobs arrived"),
        ({"total": "6"}, {}, "2 of 6 jobs arrived"),
        ({}, {"Content_Range": "0-1/6"}, "2 of 6 jobs arrived"),
        ({"IsTruncated": True}, {}, "more jobs exist"),
        ({"next_offset": 2}, {}, "names another one in `next_offset`"),
        ({"NextMarker": "m"}, {}, "names another one in `NextMarker`"),
        ({}, {"X_Next_Cursor": "c"}, "names another one in `X-Next-Cursor`"),
        ({}, {"x_ms_continuation": "c"}, "names another one in `x-ms-continuation`"),
        # Objects and names that describe the list.
        *(
            ({place: {name: 6}}, {}, "2 of 6 jobs arrived")
            for place in ("summary", "page_info", "paging", "pagingInfo", "list_meta", "totals")
            for name in ("total", "totalCount", "count", "total_jobs", "totalRecords")
        ),
        ({"total_jobs": 6}, {}, "2 of 6 jobs arrived"),
        ({"jobs_count": 6}, {}, "2 of 6 jobs arrived"),
        ({"resultCount": 6}, {}, "2 of 6 jobs arrived"),
        ({"recordsTotal": 6}, {}, "2 of 6 jobs arrived"),
        ({"hydra:totalItems": 6}, {}, "2 of 6 jobs arrived"),
        ({"total": {"value": 2, "relation": "gte"}}, {}, "2 of 3 jobs arrived"),
        ({"list_info": {"has_more_rows": True, "row_count": 2}}, {}, "more jobs exist"),
        ({"has_more": 1}, {}, "more jobs exist"),
        ({"incomplete_results": True}, {}, "more jobs exist"),
        # A `count` of the rows of the page does not show that it is the last.
        ({"count": 2, "next_offset": 2}, {}, "names another one in `next_offset`"),
        ({"Count": 2, "LastEvaluatedKey": {"id": 2}}, {}, "another one in `LastEvaluatedKey`"),
        ({"pagination": {"next": 2}}, {}, "names another one in `next`"),
    ],
)
def test_a_list_that_is_not_whole_and_shows_no_way_is_refused(
    envelope: dict[str, Any], headers: dict[str, str], reason: str
) -> None:
    with pytest.raises(Incomplete, match=reason):
        find_next(page(envelope, **headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Next_Page": "2", "X_Page": "1", "X_Per_Page": "2"},
        {"X_Page": "1", "X_Total_Pages": "3"},
        {"current_page": "1", "page_items": "2", "total_pages": "3", "total_count": "6"},
        {"X_Pagination": '{"TotalCount": 6, "PageSize": 2, "CurrentPage": 1, "TotalPages": 3}'},
    ],
)
def test_headers_say_where_the_next_page_is(headers: dict[str, str]) -> None:
    """GitLab and Kaminari, api-pagination, Pagy, ASP.NET."""
    assert find_next(page({}, **headers)) == f"{URL}&page=2"


def test_pages_that_begin_with_0() -> None:
    def ask(number: int, rows: int = 2) -> str | None:
        stated = {"page": number, "size": 2, "pages": 3}
        return find_next(page(stated, rows=rows, first=2 * number))

    assert [ask(0), ask(1), ask(2, rows=1)] == [f"{URL}&page=1", f"{URL}&page=2", None]


@pytest.mark.parametrize(
    "envelope",
    [
        {"total": 2, "next_offset": 2},
        {"has_more": False, "next_offset": 2},
        {"page": 1, "pages": 1, "next_page": 1},
        {"next_offset": None, "nextMarker": "", "next_key": -1},
        {"nextSyncToken": "t", "next_run_at": "2027-01-01"},
    ],
)
def test_a_field_that_looks_like_a_way_after_the_end(envelope: dict[str, Any]) -> None:
    assert find_next(page(envelope)) is None


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<?page=2>; rel="next"', "?page=2"),
        ('<?page=1>; rel="prev", <?page=3>; rel=next', "?page=3"),
        ('<?page=3>; REL="Last NEXT"', "?page=3"),
        ('<?a=1,2;3>; title="x, y; rel=next"; rel="next"', "?a=1,2;3"),
        ("<?q=\u00c3\u00a4>; rel=next", "?q=\u00e4"),
        ('<?page=2>; rel="nextish"', None),
        ('<?page=2>; title="rel=next"', None),
        ('<?page=2>; title="x; rel=next"; rel=prev', None),
        ("<?page=2>; rel=prev; rel=next", None),
        ("", None),
    ],
)
def test_link_is_read_by_rfc_8288(header: str, target: str | None) -> None:
    assert find_link(header, "next") == target


@pytest.mark.parametrize(
    ("envelope", "following"),
    [
        ({"page": 1, "size": 2}, f"{URL}&page=2"),
        ({"page": 3, "size": 2, "total": None, "pages": None}, f"{URL}&page=4"),
        ({"offset": 4, "limit": 2, "total": None}, f"{URL}&offset=6&limit=2"),
        ({"pagination": {"page": 1, "per_page": 2}}, f"{URL}&page=2"),
        ({"page": 1, "per_page": 2, "count": 2}, f"{URL}&page=2"),
        ({"offset": 0, "limit": 2, "count": 2}, f"{URL}&offset=2&limit=2"),
        # PocketBase with `skipTotal`.
        ({"page": 1, "perPage": 2, "totalItems": -1, "totalPages": -1}, f"{URL}&page=2"),
    ],
)
def test_a_full_page_without_a_total_is_followed(envelope: dict[str, Any], following: str) -> None:
    assert find_next(page(envelope)) is None
    assert guess_next(page(envelope)) == following
    assert guess_next(page(envelope, rows=1)) is None
    assert guess_next(page(envelope, rows=0)) is None


@pytest.mark.parametrize(
    ("envelope", "headers"),
    [
        ({"size": 2}, {}),
        ({"page": 1}, {}),
        ({"page": 1, "size": 50}, {}),
        ({"page": 1, "size": 2, "total": 2}, {}),
        ({"page": 1, "size": 2, "has_more": False}, {}),
        # Laravel's simplePaginate and cursorPaginate, on the last page.
        ({"current_page": 1, "per_page": 2, "next_page_url": None}, {}),
        ({"per_page": 2, "next_cursor": None, "next_page_url": None}, {}),
        ({"number": 3, "size": 2, "last": True}, {}),
        ({"offset": 4, "limit": 2, "hasMore": False, "links": [{"rel": "first"}]}, {}),
        ({"page": 1, "size": 2, "links": {"self": "/?page=1"}}, {}),
        ({"page": 1, "size": 2}, {"Link": '<?page=1>; rel="first"'}),
    ],
)
def test_a_full_page_that_is_the_last_is_not_followed(
    envelope: dict[str, Any], headers: dict[str, str]
) -> None:
    assert guess_next(page(envelope, **headers)) is None


def test_a_page_of_as_many_rows_as_it_may_have_is_refused() -> None:
    with pytest.raises(Incomplete, match="2 jobs arrived, as many as a page may have"):
        guess_next(page({"limit": 2}, Link='</changes>; rel="changes"'))


def test_a_list_that_became_shorter_is_noticed() -> None:
    """A job before the second page was removed, and the first row of that page moved forward."""
    before, after = page({"total": 6}), page({"total": 5}, first=2, url=f"{URL}&page=2")
    with pytest.raises(Changed, match="it had 6 jobs, and now has 5"):
        check_unchanged(before, after)
    check_unchanged(before, page({"total": 7}, first=2, url=f"{URL}&page=2"))
    check_unchanged(before, page({"total": 5}, first=2, url=f"{URL}&per_page=2&cursor=Zm9v"))
    # The number of rows of each page.
    check_unchanged(page({"count": 2}), page({"count": 1}, rows=1, first=2, url=f"{URL}&page=2"))


def test_numbering_reads_on_where_pages_are_smaller_than_asked_for() -> None:
    by_page = Numbering((("page", "1"), ("size", "100")))
    assert by_page.following(page({}, rows=25, url=by_page.first(URL))) == f"{URL}&size=100&page=2"
    assert by_page.following(page({}, rows=5, first=25, url=f"{URL}&page=2")) == f"{URL}&page=3"
    assert by_page.following(page({}, rows=5, first=100, url=f"{URL}&page=2")) is None
    rows_of_the_page = page({"count": 25}, rows=25, url=by_page.first(URL))
    assert by_page.following(rows_of_the_page) == f"{URL}&size=100&page=2"
    with pytest.raises(Incomplete, match="25 of 60"):
        by_page.following(page({"total": 60}, rows=0, first=25))


@pytest.mark.parametrize(
    ("name", "second"),
    [("page[offset]", "page%5Boffset%5D=2"), ("$skip", "%24skip=2"), ("_start", "_start=2")],
)
def test_numbering_by_rows_in_other_spellings(name: str, second: str) -> None:
    by_rows = Numbering(((name, "0"), ("limit", "2")))
    assert (by_rows.following(page({})) or "").endswith(second)


def test_numbering_by_the_setting() -> None:
    by_page = Numbering((("page", "1"), ("size", "2")))
    first = by_page.first(URL)
    assert first == f"{URL}&page=1&size=2"
    second = by_page.following(page({}, url=first))
    assert second == f"{URL}&size=2&page=2"
    assert by_page.following(page({}, rows=1, first=2, url=second)) is None
    assert by_page.following(page({}, rows=0, first=2, url=second)) is None
    by_offset = Numbering((("offset", "0"), ("limit", "100")))
    assert by_offset.following(page({}, rows=100)) == f"{URL}&offset=100"
    assert by_offset.following(page({"total": 100}, rows=100)) is None


def test_a_proxy_that_hides_its_address_is_hinted_at() -> None:
    hint = proxy_hint("https://service/api/", "http://service/api/?page=2")
    assert "from https://service to http://service" in hint
    assert proxy_hint("https://service/api/", "?page=2") == ""
