"""The feed of changes of a REST service, read by long polling (docs/contract.md, section 3)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from cron_tasks.errors import SourceError
from cron_tasks.http.retry_after import read_retry_after
from cron_tasks.jobs.rejected import Unreadable
from cron_tasks.jobs.row import row_id
from cron_tasks.rest.client import REQUEST_ERRORS, strip_credentials
from cron_tasks.rest.failures import FEED_HINTS, explain_failure, explain_status
from cron_tasks.rest.links import find_link, proxy_hint, with_parameters
from cron_tasks.rest.mapping import Shape
from cron_tasks.rest.pages import Fetcher
from cron_tasks.rest.pagination import FeedLink
from cron_tasks.rest.rows import Document, Malformed
from cron_tasks.rest.single import find_row
from cron_tasks.settings import Settings

#: The statuses of a service or proxy that is away for a moment, or that cuts a long request.
_PASSING = (408, 429, 502, 503, 504)
_LONGEST_CURSOR = 4096


@dataclass(frozen=True, slots=True)
class Change:
    """The last change of one id in an answer. Without `row`, the row has to be read separately."""

    row: Any = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class FeedAnswer:
    """An answer of the feed: its changes by job id, the address that was asked, and the next one.

    `names_all` is whether each change names a job. `took` is how many seconds the answer took.
    """

    changes: Mapping[str, Change]
    asked: str
    address: str
    names_all: bool = True
    took: float = 0.0


def _read_cursor(cursor: Any) -> str:
    if isinstance(cursor, bool) or not isinstance(cursor, str | int) or cursor == "":
        raise Malformed("has no `cursor`, which is a text or a whole number")
    if len(text := str(cursor)) > _LONGEST_CURSOR:
        raise Malformed(f"has a cursor of more than {_LONGEST_CURSOR:,} characters")
    return text


class FeedGone(Exception):
    """The service no longer knows the cursor (410): the list has to be read again."""


class FeedCut(Exception):
    """No answer came, for a temporary reason. The text gives the reason."""

    def __init__(self, text: str, took: float, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.took = took
        self.retry_after = retry_after


@dataclass(slots=True)
class _Read:
    changes: dict[str, Change] = field(default_factory=dict)
    names_all: bool = True


def find_feed(fetcher: Fetcher, headers: Mapping[str, str]) -> FeedLink:
    """Return the feed that the answer of the list's first page names."""
    reference = find_link(headers.get("Link", ""), "changes")
    if reference is None:
        return FeedLink()
    try:
        address = fetcher.resolve_reference(reference)
    except SourceError:
        shown = strip_credentials(reference)
        return FeedLink(fault=f"the feed of changes at {shown} is not a URL to read from")
    if not fetcher.is_foreign(address):
        return FeedLink(address)
    hint = proxy_hint(fetcher.home, address).replace("`next`", "the link")
    shown, ours = strip_credentials(address), "the origin of CRON_TASKS_REST_URL"
    return FeedLink(fault=f"the feed of changes at {shown} is not on {ours}: not followed; {hint}")


class Feed(Fetcher):
    """The feed of the service in the settings. It keeps its connection open between requests."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "the changes", FEED_HINTS, total=0)
        self._shape = Shape(settings.rest_mapping or {})

    def ask(self, address: str, wait: float) -> FeedAnswer:
        """Return the changes after the cursor in `address`. The service may wait for some.

        Raises FeedGone, FeedCut, and SourceError for a lasting fault.
        """
        begun = time.monotonic()
        self.url = address
        if self.is_foreign(address):
            raise self.make_error("the address is not on the origin of CRON_TASKS_REST_URL")
        limit = wait + self._settings.rest_timeout
        self.restart(limit)
        wanted = with_parameters(address, {"wait": f"{wait:g}"})
        timeouts = self._settings.rest_timeout, limit
        try:
            with self.get(wanted, stream=True, timeout=timeouts) as response:
                self.url = response.url
                if response.status_code in _PASSING:
                    raise self._make_cut(response, begun)
                self._receive(response)
        except REQUEST_ERRORS as error:
            raise FeedCut(explain_failure(error, limit), time.monotonic() - begun) from None
        response.raw = None  # The reference would keep the connection open.
        took = time.monotonic() - begun
        if response.status_code == 204:
            return FeedAnswer({}, address, address, took=took)
        read, cursor = self._read_answer()
        following = with_parameters(address, {"cursor": cursor})
        return FeedAnswer(read.changes, address, following, read.names_all, took)

    def _make_cut(self, response: requests.Response, begun: float) -> FeedCut:
        asked = read_retry_after(response.headers.get("Retry-After"), time.time())
        return FeedCut(explain_status(response, FEED_HINTS), time.monotonic() - begun, asked)

    def _receive(self, response: requests.Response) -> None:
        if self.is_foreign(response.url):
            raise self.make_error("it redirects to another origin than CRON_TASKS_REST_URL")
        if response.status_code == 410:
            raise FeedGone
        if response.status_code not in (200, 204):
            raise self.make_error(explain_status(response, FEED_HINTS, "200 and changes"))
        self._receive_body(response)

    def _read_answer(self) -> tuple[_Read, str]:
        """Return the changes and the cursor of the body. Raises SourceError."""
        read, document = _Read(), Document(self.body)
        try:
            for entry in document.read_rows(("changes",)):
                self._add_change(entry, read)
            cursor = _read_cursor(document.envelope.get("cursor"))
        except Malformed as error:
            # The rest of the sentence explains how to find the jobs of a list.
            cause = str(error).split(";")[0].replace("array of jobs at changes", "array `changes`")
            expected = '{"changes": […], "cursor": "…"}'
            raise self.make_error(f"the answer is not {expected}: it {cause}") from None
        return read, cursor

    def _add_change(self, entry: Any, read: _Read) -> None:
        identity = row_id(entry) if isinstance(entry, dict) else None
        if identity is None:
            read.names_all = False
            return
        # The last entry for an id is used, and keeps its place in the order.
        read.changes.pop(identity, None)
        read.changes[identity] = self._judge_entry(entry, identity)

    def _judge_entry(self, entry: dict[str, Any], job_id: str) -> Change:
        deleted = entry.get("deleted", False)
        if deleted is True:
            return Change(is_deleted=True)
        if deleted not in (False, None) or isinstance(entry, Unreadable):
            return Change()
        if not self._shape.maps_rows_alone:
            return Change()
        return Change(find_row(self._shape, entry.get("job"), job_id))
