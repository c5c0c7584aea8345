"""The list of jobs of the REST service, read completely or not at all.

Every fault of the service ends in one SourceError, whose text shows a person what to do. The rows
themselves are validated in jobs/.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests import Response

from cron_tasks.rest.feed import find_feed
from cron_tasks.rest.files import FileListing, path_of
from cron_tasks.rest.links import find_link
from cron_tasks.rest.mapping import Finds, Shape
from cron_tasks.rest.numbering import Numbering, read_numbering
from cron_tasks.rest.page import Changed, Incomplete, Page, stated_total
from cron_tasks.rest.pages import Fetcher
from cron_tasks.rest.pagination import (
    ONLY_PAGE,
    check_complete,
    check_unchanged,
    find_next,
    guess_next,
)
from cron_tasks.rest.rows import Document, Malformed
from cron_tasks.rest.validators import Validators, find_validators
from cron_tasks.settings import Settings

_SET_PAGINATION = (
    "where is the next page? Set CRON_TASKS_REST_PAGINATION, e.g. page=1&size=100, or `next` of "
    "CRON_TASKS_REST_MAPPING"
)
_BACK = f"`next` leads back to a page that was already read; {_SET_PAGINATION}"


class Listing:
    """The rows of one read.

    `validators` are set once all rows of a list that has a single page are read.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        shape: Shape,
        known: Validators | None,
        numbering: Numbering | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._shape = shape
        self._numbering = numbering
        self._first_url = numbering.first(fetcher.home) if numbering else fetcher.home
        self._page = fetcher.fetch_page(self._first_url, known.as_headers() if known else {})
        self.not_modified = self._page.status_code == 304
        self.validators = known if self.not_modified else None
        #: The feed of changes that the first page names, if any. Its cursor is older than the rows.
        self.feed = find_feed(fetcher, self._page.headers)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield each row once, with its place: `("row 17", {…})` or `("page 2, row 3", {…})`.

        Raises SourceError if the list cannot be read completely. The rows until then are not the
        list.
        """
        finds = self._shape.start_list()
        yield from self._read_pages(finds)
        if fault := finds.explain_fault():
            raise self._fetcher.make_error(fault)
        if self._fetcher.page == 1:
            self.validators = find_validators(self._page.headers)

    def _read_pages(self, finds: Finds) -> Iterator[tuple[str, Any]]:
        seen, before, is_guess = {self._first_url}, None, False
        page: Response | None = self._page
        while page is not None:
            document = Document(self._fetcher.body)
            number = self._fetcher.page
            place = f"page {number}, row" if number > 1 else "row"
            count, start = 0, None
            with self._explain_faults():
                for count, row in enumerate(self._shape.find_rows(document), 1):
                    mapped = self._shape.map_row(row, finds)
                    if count == 1:
                        start = _identify(mapped)
                        if before and self._is_end(before, start, is_guess):
                            return
                    yield f"{place} {count}", mapped
                arrived = before.arrived if before else 0
                beside = self._shape.find_beside(document.envelope)
                url = self._fetcher.url
                read = Page(url, count, arrived, beside, page.headers, start, number)
                if before:
                    check_unchanged(before, read)
                named = self._shape.find_next(document.envelope)
                following, is_guess = self._find_next(read, named)
            page = self._fetch_next(following, is_guess, seen) if following else None
            before = read

    @contextmanager
    def _explain_faults(self) -> Iterator[None]:
        """Raise SourceError for what is wrong with a page."""
        try:
            yield
        except Malformed as error:
            raise self._fetcher.make_error(f"the answer {error}") from None
        except Incomplete as error:
            raise self._fetcher.make_error(f"{error}; {_SET_PAGINATION}") from None
        except Changed as error:
            raise self._fetcher.make_error(
                f"the list became shorter while it was read, so that a row may be missing: "
                f"{error}; the next sync reads it again"
            ) from None

    def _is_end(self, before: Page, start: Any, is_guess: bool) -> bool:
        """Return whether a page that begins with `start` repeats the one before, which was the
        whole list.

        Raises SourceError if it repeats the one before, and rows after that may exist.
        """
        if start is None or start != before.start:
            return False
        if not self._numbering and not is_guess:
            raise self._fetcher.make_error(_BACK)
        if not self._numbering:
            raise self._fetcher.make_error(
                f"the page before is full, and this one is the same ({ONLY_PAGE}); "
                f"{_SET_PAGINATION}"
            )
        if self._numbering.is_short(before):
            return True  # The service does not know the parameters, and lists all jobs at once.
        raise self._fetcher.make_error(
            "the page is the same as the one before: the service ignores the parameters of "
            "CRON_TASKS_REST_PAGINATION"
        )

    def _find_next(self, page: Page, named: Any) -> tuple[str | None, bool]:
        """Return the reference to the next page, or None, and whether there may be no such page.

        `named` is the value of `next`. Raises SourceError, Malformed, Incomplete.
        """
        if following := self._read_next(named):
            return following, False
        if self._numbering:
            return self._numbering.following(page), stated_total(page) is None
        if self._shape.states_the_end(page.envelope):
            following = find_link(page.headers.get("Link", ""), "next")
            if following is None:
                check_complete(page)
            return following, False
        if (following := find_next(page)) is not None:
            return following, False
        return guess_next(page), True

    def _read_next(self, named: Any) -> str | None:
        """Return the reference in `next`, or None without one. Raises SourceError."""
        if named in (None, "") or isinstance(named, str):
            return named or None
        if self._numbering or self._shape.is_end(named):
            return None
        raise self._fetcher.make_error(f"`next` is neither a URL nor null; {_SET_PAGINATION}")

    def _fetch_next(self, reference: str, is_guess: bool, seen: set[str]) -> Response | None:
        """Return the page at a reference, or None if the page before was the last one.

        Raises SourceError.
        """
        url = self._fetcher.resolve_reference(reference)
        if url in seen:
            raise self._fetcher.make_error(_BACK)
        seen.add(url)
        page = self._fetcher.fetch_page(url, {}, may_be_missing=is_guess)
        return None if page.status_code == 404 else page


def _identify(row: Any) -> Any:
    """Return what identifies a row: its id, or else all of it. None for a row without fields."""
    return row.get("id", row) if isinstance(row, dict) else None


class Source:
    """The REST service in the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shape = Shape(settings.rest_mapping or {})
        self._numbering = read_numbering(settings.rest_pagination)

    @contextmanager
    def open_list(self, validators: Validators | None = None) -> Iterator[Listing | FileListing]:
        """Request the list, unless it is still the version that `validators` name.

        A list in files is always read, because it costs little.
        Raises SourceError on entry if the first page fails, and while the rows are read.
        """
        if path := path_of(self._settings):
            yield FileListing(self._settings, path, self._shape)
            return
        fetcher = Fetcher(self._settings)
        try:
            yield Listing(fetcher, self._shape, validators, self._numbering)
        finally:
            fetcher.close()
