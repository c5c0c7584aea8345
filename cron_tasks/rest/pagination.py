"""Find the next page of a list, and check that the whole list has arrived. Pure.

Services show the way in many forms. Each form is one function from a page to the address of the
next one. A page that shows none of them, and does not state that more exists, is the last.
"""

from dataclasses import dataclass

from cron_tasks.rest.links import find_link, with_parameters
from cron_tasks.rest.page import Changed, Incomplete, Page, stated_total, states_a_number
from cron_tasks.rest.positions import (
    address_page,
    after_offset,
    by_next_number,
    by_offset,
    by_page_number,
    is_by_position,
)
from cron_tasks.rest.stated import find_more
from cron_tasks.rest.ways import find_address, find_cursor, find_unknown_way, has_ways, is_address
from cron_tasks.text.display import printable_key

#: The hint on how to mark a full page as the only one.
ONLY_PAGE = 'if there are no more, set CRON_TASKS_REST_MAPPING={"next": "`null`"}'
#: Link relations that a service gives besides the next page, or instead of it on the last one.
_OTHER_PAGES = ("first", "last", "prev", "previous", "self")


@dataclass(frozen=True, slots=True)
class FeedLink:
    """The feed that the answer with the list names: its address, or why it is refused.

    Both are empty if the list names no feed.
    """

    address: str = ""
    fault: str = ""


def find_next(page: Page) -> str | None:
    """Return the address of the next page as the page gives it, relative or absolute. None at the
    end of the list.

    Raises Incomplete.
    """
    found = (
        find_link(page.headers.get("Link", ""), "next")
        or find_address(page.envelope)
        or _by_cursor(page)
        or by_page_number(page)
        or by_offset(page)
        or by_next_number(page)
        or _by_unknown_address(page)
    )
    if found is None:
        check_complete(page)
        _check_unknown_way(page)
    return found


def guess_next(page: Page) -> str | None:
    """Return where more rows may be, after a full page that does not state whether it is the last.

    Such a page states its size, but no total and no link. Raises Incomplete if it does not even
    state a position.
    """
    if not page.rows or _states_an_end(page):
        return None
    for stated in page.stated:
        if page.rows not in (stated.limit, stated.size):
            continue
        if stated.number is not None:
            return address_page(page, stated.number + 1, stated.place)
        if stated.offset is not None:
            return after_offset(page, stated)
        if page.rows == stated.limit:
            raise Incomplete(f"{page.rows} jobs arrived, as many as a page may have ({ONLY_PAGE})")
    return None


def check_complete(page: Page) -> None:
    """Raise Incomplete if the last page states that the list has more rows than arrived."""
    total = stated_total(page)
    if total is not None and total > page.arrived:
        raise Incomplete(f"{page.arrived} of {total} jobs arrived")
    for stated in page.stated:
        number, last = stated.number, stated.last_number(page.first)
        number = page.number if number is None else number
        if last is not None and page.rows and last > number:
            raise Incomplete(f"page {number} of {stated.pages} arrived")
    if find_more(page.envelope, page.headers):
        raise Incomplete("more jobs exist than arrived")


def check_unchanged(before: Page, page: Page) -> None:
    """Raise Changed if the list became shorter between two pages that are found by position.

    The rows behind a removed one have moved forward by one, so the first row of this page is
    missing.
    """
    known, total = stated_total(before), stated_total(page)
    if known is None or total is None or known <= before.rows or not is_by_position(page.url):
        return
    if total < known:
        raise Changed(f"it had {known} jobs, and now has {total}")


def _by_cursor(page: Page) -> str | None:
    cursor = find_cursor(page.envelope)
    return with_parameters(page.url, cursor) if cursor else None


def _by_unknown_address(page: Page) -> str | None:
    """Follow an address in a field that is named like a next page."""
    _, value = find_unknown_way(page.envelope, page.headers)
    return value if isinstance(value, str) and is_address(value) else None


def _check_unknown_way(page: Page) -> None:
    """Raise Incomplete if the last page has a field that is named like a next page."""
    name, _ = find_unknown_way(page.envelope, page.headers)
    is_end = states_a_number(page) or find_more(page.envelope, page.headers) is False
    if name and not is_end:
        raise Incomplete(f"the page names another one in `{printable_key(name)}`")


def _states_an_end(page: Page) -> bool:
    """Return whether a page without a next one states that it is the last: by a total, or by links
    to other pages."""
    link = page.headers.get("Link", "")
    return (
        states_a_number(page)
        or find_more(page.envelope, page.headers) is not None
        or any(find_link(link, relation) for relation in _OTHER_PAGES)
        or has_ways(page.envelope)
    )
