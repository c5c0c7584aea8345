"""The next page by its position: the number of a page, or the number of rows before it. Pure."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from cron_tasks.rest.links import with_parameters
from cron_tasks.rest.page import Page, stated_total
from cron_tasks.rest.stated import Stated, find_more, spell

#: Query parameters for the number of a page, as `spell` makes them.
_NUMBERS = ("page", "p", "pageno", "pagenumber", "currentpage", "paginationpage")
#: Those of these parameters that keep the spelling of the request.
_PAGE_NAMES = ("page", "current_page", "currentPage", "page_number", "pageNumber", "number")


def by_page_number(page: Page) -> str | None:
    """Follow the number of a page, if the page also states the number of pages, the total, or that
    more rows follow."""
    total, more = stated_total(page), find_more(page.envelope, page.headers)
    for stated in page.stated:
        if stated.number is None or not page.rows:
            continue
        if (last := stated.last_number(page.first)) is not None:
            is_last = stated.number >= last
        elif total is not None and stated.size is not None:
            is_last = page.arrived >= total
        elif more is not None:
            is_last = not more
        else:
            continue
        if is_last:
            return None
        return address_page(page, stated.number + 1, stated.place)
    return None


def by_offset(page: Page) -> str | None:
    """Follow `offset` and `limit`, if a page states both and a total, or that more rows follow."""
    total, more = stated_total(page), find_more(page.envelope, page.headers)
    for stated in page.stated:
        if stated.offset is None or not stated.limit or not page.rows:
            continue
        if total is not None:
            more = stated.offset + page.rows < total
        if more is not None:
            return after_offset(page, stated) if more else None
    return None


def by_next_number(page: Page) -> str | None:
    """Follow the number of the next page, unless a total shows that this is the last one."""
    total = stated_total(page)
    if total is not None and page.arrived >= total:
        return None
    for stated in page.stated:
        following = stated.next_number
        if not following or following == stated.number:
            continue
        if stated.pages is None or following <= stated.pages:
            return address_page(page, following, stated.place)
    return None


def address_page(page: Page, number: int, place: Sequence[str]) -> str:
    """Return the address of a page by its number. The query parameter is the one of the request, by
    default `page`.

    `place` is the path to the object with the numbers of pages.
    """
    asked = dict(parse_qsl(urlsplit(page.url).query))
    name = next((name for name in _PAGE_NAMES if name in asked), "page")
    if tuple(place) == ("meta", "pagination"):  # This spelling is Strapi's.
        name = "pagination[page]"
    return with_parameters(page.url, {name: str(number)})


def after_offset(page: Page, stated: Stated) -> str:
    moved = {stated.offset_name: str((stated.offset or 0) + page.rows)}
    limit = {stated.limit_name: str(stated.limit)} if stated.limit else {}
    return with_parameters(page.url, moved | limit)


def counts_rows(parameter: str) -> bool:
    """Return whether a query parameter counts rows (`offset`, `$skip`, `page[offset]`)."""
    return spell(parameter).endswith(("offset", "skip", "start", "from", "startat", "startindex"))


def is_position(parameter: str) -> bool:
    """Return whether a query parameter is the number of a page, or of the rows before it."""
    return counts_rows(parameter) or spell(parameter) in _NUMBERS


def is_by_position(url: str) -> bool:
    """Return whether a page is asked for by its number, or by the number of rows before it."""
    return any(
        value.isdecimal() and is_position(name) for name, value in parse_qsl(urlsplit(url).query)
    )
