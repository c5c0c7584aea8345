"""The REST client: the list of jobs as it is there, whole or not at all.

A fault of the service ends in one SourceError, whose text a person can act on. What a row holds is
not judged here but in `cron_tasks.jobs`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from cron_tasks.rest.mapping import Shape
from cron_tasks.rest.pages import Fetcher, find_link
from cron_tasks.rest.rows import Document, Malformed
from cron_tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Validators:
    """What a service calls the version of its list (RFC 9110, section 8.8)."""

    etag: str | None = None
    last_modified: str | None = None

    def as_headers(self) -> dict[str, str]:
        """The headers that ask for the list only if it is another."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value}


class Listing:
    """The jobs of one read. `validators` are there once all rows of a one-page list were read."""

    def __init__(self, fetcher: Fetcher, shape: Shape, known: Validators | None) -> None:
        self._fetcher = fetcher
        self._shape = shape
        self._page = fetcher.read(fetcher.home, known.as_headers() if known else {})
        self.not_modified = self._page.status_code == 304
        self.validators = known if self.not_modified else None

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Each row with its place, e.g. `("row 17", {...})` or `("page 2, row 3", {...})`; once.

        Raises SourceError when the list is not read whole: the rows until then are not the list.
        """
        page, seen = self._page, {self._fetcher.home}
        while True:
            document = Document(self._fetcher.body)
            number = self._fetcher.page
            place = f"page {number}, row" if number > 1 else "row"
            try:
                for count, row in enumerate(self._shape.rows(document), 1):
                    yield f"{place} {count}", self._shape.map_row(row)
                following = self._shape.find_next(document.envelope)
            except Malformed as error:
                raise self._fetcher.make_error(f"the answer {error}") from None
            if following in (None, ""):
                following = find_link(page, "next")
            if following is None:
                break
            if not isinstance(following, str):
                raise self._fetcher.make_error("`next` is neither a URL nor null")
            url = self._fetcher.resolve_reference(following)
            if url in seen:
                raise self._fetcher.make_error("`next` goes round in a circle")
            seen.add(url)
            page = self._fetcher.read(url, {})
        if number == 1:
            self.validators = _reliable_validators(page.headers)


class Source:
    """The REST service that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shape = Shape(settings.rest_mapping or {})

    @contextmanager
    def read(self, validators: Validators | None = None) -> Iterator[Listing]:
        """Ask for the list, unless it is still the one that `validators` name.

        Raises SourceError on entry when the first page fails, and while iterating.
        """
        fetcher = Fetcher(self._settings)
        try:
            yield Listing(fetcher, self._shape, validators)
        finally:
            fetcher.close()


def _reliable_validators(headers: Mapping[str, str]) -> Validators | None:
    """Those that can be relied on.

    A Last-Modified of the very second of the answer is weak: the list may change again in that
    second, and be called the same (RFC 9110, section 8.8.2.2).
    """
    etag, modified = headers.get("ETag", "").strip() or None, None
    with suppress(KeyError, ValueError, TypeError, OverflowError):
        stamp = headers["Last-Modified"]
        age = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(stamp)
        modified = stamp if age >= timedelta(seconds=1) else None
    return Validators(etag, modified) if etag or modified else None
