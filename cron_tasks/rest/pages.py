"""Read one page of the list over HTTP, whole, within limits of time and size."""

import io
import time
from collections.abc import Mapping
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import urldefragauth

from cron_tasks.errors import SourceError, SourceLate
from cron_tasks.http.hosts import with_ascii_host
from cron_tasks.rest.client import REQUEST_ERRORS, Client, TooLate, strip_credentials
from cron_tasks.rest.failures import (
    LIST_HINTS,
    add_login_hints,
    explain_failure,
    explain_status,
    read_words,
)
from cron_tasks.rest.links import proxy_hint
from cron_tasks.settings import Settings

CHUNK = 1 << 16
#: A page of more bytes than this goes to a temporary file.
SPOOL = 8 << 20


class Fetcher(Client):
    """Reads the pages of one list, one at a time.

    REST_DEADLINE and REST_MAX_BYTES apply to all pages together. `body` is that of the last page,
    and `size` its number of bytes. `what` and `hints` are for the texts of errors.
    """

    def __init__(
        self,
        settings: Settings,
        what: str = "the jobs",
        hints: Mapping[int, str] = LIST_HINTS,
        **retry: Any,
    ) -> None:
        self._bytes = 0
        self.restart(settings.rest_deadline)
        super().__init__(settings, lambda: self._until, **retry)
        self.home = self.base + settings.rest_jobs_path
        self.page = 0
        self.body: IO[bytes] = io.BytesIO()
        self.url = self.home
        self.size = 0
        # 206 is a page of a list that is asked for in pages (Content-Range).
        self._accepted = (200,) if settings.rest_pagination == "auto" else (200, 206)
        self._what, self._hints = what, add_login_hints(hints, settings)

    def close(self) -> None:
        self.body.close()
        super().close()

    def restart(self, seconds: float) -> None:
        """Give the following requests this much time, and the whole of REST_MAX_BYTES."""
        self._until = time.monotonic() + seconds
        self._bytes = 0

    def make_error(self, cause: str) -> SourceError:
        """Return a SourceError that gives the cause and the address, without secrets."""
        what = f"page {self.page} of {self._what}" if self.page > 1 else self._what
        if hint := proxy_hint(self.home, self.url):
            cause = f"{cause}; {hint}"
        # The token is masked before a long address is cut, because half of it would not be
        # recognized.
        where, cause = strip_credentials(self.mask_token(self.url)), self.mask_token(cause)
        return SourceError(f"cannot read {what} from {where}: {cause}")

    def resolve_reference(self, reference: str) -> str:
        """Return the absolute URL of a reference in the last answer. Raises SourceError."""
        with suppress(ValueError):
            url: str = urldefragauth(urljoin(self.url, reference))
            if urlsplit(url).scheme in ("http", "https"):
                return with_ascii_host(url)
        raise self.make_error(
            f"`next` leads to {strip_credentials(reference)}, which is not a URL to read from"
        )

    def fetch_page(
        self, url: str, conditions: Mapping[str, str], may_be_missing: bool = False
    ) -> requests.Response:
        """Return the answer at `url`: a page with `body`, or 304 if `conditions` are not met.

        `conditions` are request headers. With `may_be_missing`, a 404 in which the service gives a
        reason is returned too. Without a reason it may come from a proxy that has lost the service.
        Raises SourceError if the page does not arrive completely and in time, after several
        attempts.
        """
        self.page += 1
        self.url = url
        timeout = self._settings.rest_timeout
        wait = max(0.001, min(timeout, self._until - time.monotonic()))
        try:
            with self.get(url, headers=conditions, stream=True, timeout=wait) as response:
                self.url = response.url
                if response.status_code in self._accepted:
                    self._receive_body(response)
                elif may_be_missing and response.status_code == 404 and read_words(response):
                    pass
                elif response.status_code != 304 or not conditions:
                    raise self.make_error(explain_status(response, self._hints))
        except REQUEST_ERRORS as error:
            self.url = getattr(getattr(error, "request", None), "url", self.url)
            cause = explain_failure(error, timeout)
            if isinstance(error, TooLate) or time.monotonic() >= self._until:
                limit = f"{self._settings.rest_deadline:g} s (CRON_TASKS_REST_DEADLINE)"
                why = f": {error}" if isinstance(error, TooLate) else ""
                cause = f"the service did not return its list within {limit}{why}"
                raise SourceLate(str(self.make_error(cause))) from None
            raise self.make_error(cause) from None
        response.raw = None  # The reference would keep the connection open.
        return response

    def _receive_body(self, response: requests.Response) -> None:
        self.body.close()
        self.body = SpooledTemporaryFile(SPOOL)  # noqa: SIM115
        most: int = self._settings.rest_max_bytes
        for chunk in response.iter_content(CHUNK):
            self._bytes += len(chunk)
            if self._bytes > most:
                name = "CRON_TASKS_REST_MAX_BYTES"
                raise self.make_error(f"the list is larger than {most} bytes ({name})")
            self.body.write(chunk)
        self.size = self.body.tell()
        self.body.seek(0)
