"""CRON_TASKS_REST_PAGINATION: pages that are asked for by their number. Pure."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from cron_tasks.rest.links import with_parameters
from cron_tasks.rest.page import Page, stated_total
from cron_tasks.rest.pagination import check_complete
from cron_tasks.rest.positions import counts_rows, is_position


@dataclass(frozen=True, slots=True)
class Numbering:
    """Query parameters, the first of which moves from page to page.

    `read_numbering` puts it first. `offset=0&limit=100` moves by the rows of a page,
    `page=1&size=100` by one.
    """

    parameters: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int | None:
        """Return the number of rows of a full page, if the parameters contain it."""
        sizes = [int(value) for _, value in self.parameters[1:] if value.isdecimal()]
        return sizes[0] if sizes else None

    def is_short(self, page: Page) -> bool:
        """Return whether a page has fewer rows than were requested."""
        return self.size is not None and page.rows < self.size

    def first(self, url: str) -> str:
        return with_parameters(url, dict(self.parameters))

    def following(self, page: Page) -> str | None:
        """Return the address of the next page, or None at the end of the list. Raises Incomplete.

        A short page is the last one only if the pages before it were full. Otherwise the service
        may return smaller pages than requested.
        """
        if not page.rows:
            check_complete(page)
            return None
        total = stated_total(page)
        if total is not None and page.arrived >= total:
            return None
        were_full = self.size and page.first and page.first % self.size == 0
        if total is None and were_full and self.is_short(page):
            return None
        name, start = self.parameters[0]
        known = dict(parse_qsl(urlsplit(page.url).query))
        step = page.rows if counts_rows(name) else 1
        return with_parameters(page.url, {name: str(int(known.get(name, start)) + step)})


def read_numbering(setting: str) -> Numbering | None:
    """Return the numbering of pages in the setting. None for `auto`.

    The parameter that moves is recognised by its name, such as `page` or `offset`. It may come
    after the size of a page. If no name is known, the first parameter moves.
    """
    if setting == "auto":
        return None
    parameters = parse_qsl(setting)
    parameters.sort(key=lambda each: not (is_position(each[0]) and each[1].isdecimal()))
    return Numbering(tuple(parameters))
