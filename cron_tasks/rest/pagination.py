"""Where the next page of a list is, and whether the whole list has arrived. Pure.

Services show the way in many forms. Each form below is one function from a page to the address of
the next one. A page that shows none of them, and does not state that more exists, is the last.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

#: One value of the header Link: the target, then its parameters (RFC 8288, section 3).
_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*!#$%&+.^`|~-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]*))?)*)')
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]*))', re.IGNORECASE)
_RANGE = re.compile(r"\s*\w+\s+(\d+)-(\d+)/(\d+)\s*")

#: Paths to the address of the next page. The last key may hold an object with `href` (HAL).
_ADDRESSES = (
    *(("links", "next"), ("_links", "next"), ("meta", "next"), ("pagination", "next")),
    *(("next_page_url",), ("next_url",), ("nextLink",), ("@odata.nextLink",)),
    *(("meta", "next_page_url"), ("meta", "links", "next"), ("paging", "next")),
    *(("pagination", "next_url"), ("pagination", "next_page_url"), ("pagination", "links", "next")),
)
#: Objects of a page in which its numbers may stand, itself first.
_PLACES = ((), ("meta",), ("pagination",), ("meta", "pagination"), ("page",), ("metadata",))
#: Paths to a cursor, and the query parameter that takes it.
_CURSORS = (
    (("metadata", "continue"), "continue"),
    (("next_cursor",), "cursor"),
    (("meta", "next_cursor"), "cursor"),
    (("pagination", "next_cursor"), "cursor"),
    (("response_metadata", "next_cursor"), "cursor"),
    (("cursor", "next"), "cursor"),
    (("next_page_token",), "page_token"),
    (("nextPageToken",), "pageToken"),
    (("next_page",), "cursor"),
)
_PAGE = ("page", "current_page", "currentPage", "page_number", "pageNumber", "number")
_PAGES = (
    *("pages", "total_pages", "totalPages", "last_page", "lastPage", "pageCount", "page_count"),
    "num_pages",
)
_TOTAL = ("total", "count", "total_count", "totalCount", "totalElements", "total_items", "rows")
_MORE = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage")


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read: where from, how many rows, and what stands beside them.

    `first` tells how many rows the pages before it had.
    """

    url: str
    rows: int
    first: int
    envelope: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def arrived(self) -> int:
        return self.first + self.rows


@dataclass(frozen=True, slots=True)
class Numbering:
    """`CRON_TASKS_REST_PAGINATION`: query parameters, the first of which moves from page to page.

    `offset=0&limit=100` moves by the limit, `page=1&size=100` by one.
    """

    parameters: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int | None:
        """How many rows a full page has, where the parameters tell."""
        sizes = [int(value) for _, value in self.parameters[1:] if value.isdecimal()]
        return sizes[0] if sizes else None

    def first(self, url: str) -> str:
        return with_parameters(url, dict(self.parameters))

    def following(self, page: Page) -> str | None:
        """Return the address of the next page; None after a page that is not full."""
        if not page.rows or (self.size is not None and page.rows < self.size):
            return None
        total = stated_total(page)
        if total is not None and page.arrived >= total:
            return None
        name, start = self.parameters[0]
        known = dict(parse_qsl(urlsplit(page.url).query))
        moves_by_rows = name.lower() in ("offset", "skip", "start", "from")
        step = (self.size or page.rows) if moves_by_rows else 1
        return with_parameters(page.url, {name: str(int(known.get(name, start)) + step)})


@dataclass(frozen=True, slots=True)
class FeedLink:
    """What the answer with the list says about a feed: its address, or why that is refused.

    Both are empty if the list names no feed.
    """

    address: str = ""
    fault: str = ""


class Incomplete(Exception):
    """A page states that more rows exist than arrived, and shows no way to them."""


def read_numbering(setting: str) -> Numbering | None:
    """Return how the setting numbers pages; None for `auto`."""
    return None if setting == "auto" else Numbering(tuple(parse_qsl(setting)))


def find_next(page: Page) -> str | None:
    """Return the address of the next page as the page gives it, relative or absolute; None at the
    end of the list.

    Raises Incomplete.
    """
    found = (
        find_link(page.headers.get("Link", ""), "next")
        or _address(page.envelope)
        or _by_cursor(page)
        or _by_page_number(page)
        or _by_offset(page)
    )
    if found is None:
        check_complete(page)
    return found


def check_complete(page: Page) -> None:
    """Raise Incomplete if the last page states that the list has more rows than arrived."""
    total = stated_total(page)
    if total is not None and total > page.arrived:
        raise Incomplete(f"{page.arrived} of {total} jobs arrived")
    for place in _PLACES:
        stated = _object(page.envelope, place)
        number, pages = _number(stated, _PAGE), _number(stated, _PAGES)
        if pages is not None and page.rows and _last_number(stated, pages) > (number or 1):
            raise Incomplete(f"page {number or 1} of {pages} arrived")
    if any(_found(page.envelope, (*place, name)) is True for place in _PLACES for name in _MORE):
        raise Incomplete("more jobs exist than arrived")


def stated_total(page: Page) -> int | None:
    """Return how many rows the whole list has, by the page's own account."""
    if stated := _RANGE.fullmatch(page.headers.get("Content-Range", "")):
        return int(stated[3])
    for place in _PLACES:
        for name in _TOTAL:
            total = _found(page.envelope, (*place, name))
            if isinstance(total, int) and not isinstance(total, bool):
                return total
    return None


def find_link(header: str, relation: str) -> str | None:
    """Return the target of a relation in a Link header (RFC 8288), or None.

    Relation types are case-insensitive, and one `rel` may hold several. http.client decodes headers
    as Latin-1, but services send addresses in UTF-8.
    """
    for target, parameters in _LINK.findall(header):
        relations = _RELATION.search(parameters)
        if relations and relation in (relations[1] or relations[2] or "").lower().split():
            try:
                return str(target).strip().encode("latin-1").decode()
            except UnicodeError:
                return str(target).strip()
    return None


def proxy_hint(asked: str, following: str) -> str:
    """Return a hint for a next address that leaves the origin that was asked; "" if it does not.

    A service behind a proxy that is not told of it builds addresses with its own scheme or port.
    """
    asked_parts, parts = urlsplit(urljoin(asked, "/")), urlsplit(urljoin(asked, following))
    if asked_parts[:2] == parts[:2]:
        return ""
    return (
        f"`next` leads from {asked_parts.scheme}://{asked_parts.netloc} to "
        f"{parts.scheme}://{parts.netloc}: if a proxy stands between, have it send "
        "X-Forwarded-Proto and X-Forwarded-Host, and the service heed them"
    )


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Return an address whose query has these parameters, beside those that it had."""
    parts = urlsplit(url)
    known = parse_qsl(parts.query, keep_blank_values=True)
    query = [each for each in known if each[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*query, *parameters.items()])))


def _address(envelope: Mapping[str, Any]) -> str | None:
    for path in _ADDRESSES:
        found = _found(envelope, path)
        if isinstance(found, Mapping):
            found = found.get("href") or found.get("url")
        if isinstance(found, str) and found:
            return found
    return None


def _by_cursor(page: Page) -> str | None:
    for path, parameter in _CURSORS:
        cursor = _found(page.envelope, path)
        if isinstance(cursor, str) and cursor:
            if path == ("next_page",) and cursor.startswith(("http://", "https://", "/", "?")):
                return cursor
            return with_parameters(page.url, {parameter: cursor})
    return None


def _by_page_number(page: Page) -> str | None:
    """Follow the number of a page and of all pages, where a page states both."""
    for place in _PLACES:
        stated = _object(page.envelope, place)
        number, pages = _number(stated, _PAGE), _number(stated, _PAGES)
        if number is None or pages is None or not page.rows:
            continue
        if number >= _last_number(stated, pages):
            return None
        parameter = "pagination[page]" if place == ("meta", "pagination") else _page_name(page)
        return with_parameters(page.url, {parameter: str(number + 1)})
    return None


def _last_number(stated: Mapping[str, Any], pages: int) -> int:
    """Return the number of the last page. Spring counts from 0, and calls it `number`."""
    return pages - 1 if "number" in stated and _number(stated, _PAGE[:-1]) is None else pages


def _by_offset(page: Page) -> str | None:
    """Follow `offset` and `limit`, where a page states both and a total."""
    total = stated_total(page)
    for place in _PLACES:
        stated = _object(page.envelope, place)
        offset, limit = _number(stated, ("offset", "skip")), _number(stated, ("limit",))
        if offset is not None and limit and total is not None and page.rows:
            if offset + page.rows >= total:
                return None
            name = "skip" if "skip" in stated else "offset"
            return with_parameters(page.url, {name: str(offset + page.rows), "limit": str(limit)})
    return None


def _page_name(page: Page) -> str:
    """Return the query parameter of the page's number: as asked for, else `page`."""
    asked = dict(parse_qsl(urlsplit(page.url).query))
    return next((name for name in _PAGE if name in asked), "page")


def _number(envelope: Mapping[str, Any], names: Sequence[str]) -> int | None:
    for name in names:
        value = envelope.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _object(envelope: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    found = _found(envelope, path)
    return found if isinstance(found, Mapping) else {}


def _found(envelope: Any, path: Sequence[str]) -> Any:
    for name in path:
        envelope = envelope.get(name) if isinstance(envelope, Mapping) else None
    return envelope
