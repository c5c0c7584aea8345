"""Find the next page of a list, and check that the whole list has arrived. Pure.

Services link pages in many forms. Each form below is one function from a page to the address of the
next one. A page that has none of them, and does not state that more rows exist, is the last.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from cron_tasks.rest.stated import Stated, find_more, find_total, list_stated, spell
from cron_tasks.rest.ways import find_address, find_cursor, has_ways

#: One value of the header Link: the target, then its parameters (RFC 8288, section 3). The groups
#: are possessive, so that no header takes quadratic time.
_LINK = re.compile(
    r'<([^<>]*+)>((?:\s*+;\s*+[\w*!#$%&+.^`|~-]++\s*+(?:=\s*+(?:"[^"]*+"|[^\s",;]*+))?+)*+)'
)
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]*))', re.IGNORECASE)

#: The hint on how to mark a full page as the only one.
ONLY_PAGE = 'if there are no more, set CRON_TASKS_REST_MAPPING={"next": "`null`"}'
#: Link relations that a service gives besides the next page, or instead of it on the last one.
_OTHER_PAGES = ("first", "last", "prev", "previous", "self")
#: Query parameters for the number of a page, as `spell` makes them.
_NUMBERS = ("page", "p", "pageno", "pagenumber", "currentpage", "paginationpage")
#: Those of these parameters that keep the spelling of the request.
_PAGE_NAMES = ("page", "current_page", "currentPage", "page_number", "pageNumber", "number")


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read: its address, its number of rows, and the data beside them.

    `first` is the number of rows on the pages before it.
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
class FeedLink:
    """The feed that the answer with the list names: its address, or why it is refused.

    Both are empty if the list names no feed.
    """

    address: str = ""
    fault: str = ""


class Incomplete(Exception):
    """A page states that more rows exist than arrived, and has no link to them."""


class Changed(Exception):
    """The list changed while its pages were read, so that a row may be missing."""


def find_next(page: Page) -> str | None:
    """Return the address of the next page as the page gives it, relative or absolute. None at the
    end of the list.

    Raises Incomplete.
    """
    found = (
        find_link(page.headers.get("Link", ""), "next")
        or find_address(page.envelope)
        or _by_cursor(page)
        or _by_page_number(page)
        or _by_offset(page)
    )
    if found is None:
        check_complete(page)
    return found


def guess_next(page: Page) -> str | None:
    """Return where more rows may be, after a full page that does not state whether it is the last.

    Such a page states its size, but no total and no link. Raises Incomplete if it does not even
    state a position.
    """
    if not page.rows or _states_an_end(page):
        return None
    for stated in list_stated(page.envelope):
        if page.rows not in (stated.limit, stated.size):
            continue
        if stated.number is not None:
            return with_parameters(page.url, {_page_name(page, stated): str(stated.number + 1)})
        if stated.offset is not None:
            return _after_offset(page, stated)
        if page.rows == stated.limit:
            raise Incomplete(f"{page.rows} jobs arrived, as many as a page may have ({ONLY_PAGE})")
    return None


def check_complete(page: Page) -> None:
    """Raise Incomplete if the last page states that the list has more rows than arrived."""
    total = stated_total(page)
    if total is not None and total > page.arrived:
        raise Incomplete(f"{page.arrived} of {total} jobs arrived")
    for stated in list_stated(page.envelope):
        number, last = stated.number, stated.last_number
        if last is not None and page.rows and last > (number or 1):
            raise Incomplete(f"page {number or 1} of {stated.pages} arrived")
    if find_more(page.envelope):
        raise Incomplete("more jobs exist than arrived")


def check_unchanged(before: Page, page: Page) -> None:
    """Raise Changed if the list became shorter between two pages that are found by position.

    The rows behind a removed one have moved forward by one, so the first row of this page is
    missing.
    """
    known, total = stated_total(before), stated_total(page)
    if known is None or total is None or known <= before.rows or not _is_by_position(page.url):
        return
    if total < known:
        raise Changed(f"it had {known} jobs, and now has {total}")


def stated_total(page: Page) -> int | None:
    """Return the number of rows in the whole list, as the page states it."""
    return find_total(page.envelope, page.headers)


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
    """Return a hint for a next address on another origin than the request, otherwise "".

    A service that does not know of its proxy builds addresses with its own scheme or port.
    """
    asked_parts, parts = urlsplit(urljoin(asked, "/")), urlsplit(urljoin(asked, following))
    if asked_parts[:2] == parts[:2]:
        return ""
    return (
        f"`next` leads from {asked_parts.scheme}://{asked_parts.netloc} to "
        f"{parts.scheme}://{parts.netloc}: if a proxy stands between, have it send "
        "X-Forwarded-Proto and X-Forwarded-Host, and the service heed them"
    )


def counts_rows(parameter: str) -> bool:
    """Return whether a query parameter counts rows (`offset`, `$skip`, `page[offset]`)."""
    return spell(parameter).endswith(("offset", "skip", "start", "from", "startat", "startindex"))


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Return an address whose query has these parameters, beside those that it had."""
    parts = urlsplit(url)
    known = parse_qsl(parts.query, keep_blank_values=True)
    query = [each for each in known if each[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*query, *parameters.items()])))


def _by_cursor(page: Page) -> str | None:
    cursor = find_cursor(page.envelope)
    return with_parameters(page.url, cursor) if cursor else None


def _by_page_number(page: Page) -> str | None:
    """Follow the number of a page, if the page also states the number of pages or the total."""
    total = stated_total(page)
    for stated in list_stated(page.envelope):
        if stated.number is None or not page.rows:
            continue
        if stated.last_number is not None:
            is_last = stated.number >= stated.last_number
        elif total is not None and stated.size is not None:
            is_last = page.arrived >= total
        else:
            continue
        if is_last:
            return None
        return with_parameters(page.url, {_page_name(page, stated): str(stated.number + 1)})
    return None


def _by_offset(page: Page) -> str | None:
    """Follow `offset` and `limit`, if a page states both and a total."""
    total = stated_total(page)
    for stated in list_stated(page.envelope):
        if stated.offset is not None and stated.limit and total is not None and page.rows:
            if stated.offset + page.rows >= total:
                return None
            return _after_offset(page, stated)
    return None


def _after_offset(page: Page, stated: Stated) -> str:
    moved = {stated.offset_name: str((stated.offset or 0) + page.rows)}
    limit = {stated.limit_name: str(stated.limit)} if stated.limit else {}
    return with_parameters(page.url, moved | limit)


def _page_name(page: Page, stated: Stated) -> str:
    """Return the query parameter of the page's number: the one of the request, by default
    `page`."""
    if stated.place == ("meta", "pagination"):  # This spelling is Strapi's.
        return "pagination[page]"
    asked = dict(parse_qsl(urlsplit(page.url).query))
    return next((name for name in _PAGE_NAMES if name in asked), "page")


def _states_an_end(page: Page) -> bool:
    """Return whether a page without a next one states that it is the last: by a total, or by links
    to other pages."""
    link = page.headers.get("Link", "")
    return (
        stated_total(page) is not None
        or any(stated.pages is not None for stated in list_stated(page.envelope))
        or find_more(page.envelope) is not None
        or any(find_link(link, relation) for relation in _OTHER_PAGES)
        or has_ways(page.envelope)
    )


def _is_by_position(url: str) -> bool:
    """Return whether a page is asked for by its number, or by the number of rows before it."""
    return any(
        value.isdecimal() and (counts_rows(name) or spell(name) in _NUMBERS)
        for name, value in parse_qsl(urlsplit(url).query)
    )
