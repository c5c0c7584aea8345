"""A page of the list that was read, and what is wrong with one. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cron_tasks.rest.stated import Stated, find_total, list_stated


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read: its address, its number of rows, and the data beside them.

    `first` is the number of rows on the pages before it. `start` identifies its first row, and
    `number` counts the pages that were read, from 1.
    """

    url: str
    rows: int
    first: int
    envelope: Mapping[str, Any]
    headers: Mapping[str, str]
    start: Any = None
    number: int = 1

    @property
    def arrived(self) -> int:
        return self.first + self.rows

    @property
    def stated(self) -> Iterator[Stated]:
        return list_stated(self.envelope, self.headers)


class Incomplete(Exception):
    """A page states that more rows exist than arrived, and has no link to them."""


class Changed(Exception):
    """The list changed while its pages were read, so that a row may be missing."""


def stated_total(page: Page) -> int | None:
    """Return the number of rows in the whole list, as the page states it."""
    return find_total(page.envelope, page.headers, page.rows)


def states_a_number(page: Page) -> bool:
    """Return whether a page states how many rows, or pages, the whole list has."""
    return stated_total(page) is not None or any(each.pages is not None for each in page.stated)
