"""One page over HTTP, whole, within limits of time and size, or a sentence saying why not."""

import io
import time
from collections.abc import Mapping
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import urldefragauth
from urllib3.exceptions import HTTPError

from cron_tasks.errors import SourceError
from cron_tasks.http.hosts import with_ascii_host
from cron_tasks.rest.client import Client, TooLate, public
from cron_tasks.rest.failures import explain_failure, explain_status
from cron_tasks.settings import Settings

CHUNK = 1 << 16
#: Bytes of a page that stay in memory; the rest goes to a temporary file.
SPOOL = 8 << 20


class Fetcher(Client):
    """Reads the pages of one list, one at a time; the limits hold for all of them together."""

    def __init__(self, settings: Settings) -> None:
        self._until = time.monotonic() + settings.rest_deadline
        super().__init__(settings, lambda: self._until)
        self.home = self.base + settings.rest_jobs_path
        self.page = 0
        self.body: IO[bytes] = io.BytesIO()
        self._url = self.home
        self._bytes = 0

    def close(self) -> None:
        self.body.close()
        super().close()

    def error(self, cause: str) -> SourceError:
        """`cause` with the address that was last read, without what may be secret in it."""
        what = f"page {self.page} of the jobs" if self.page > 1 else "the jobs"
        # Before a long address is cut: half of a token would not be recognised.
        where, cause = public(self.clean(self._url)), self.clean(cause)
        return SourceError(f"cannot read {what} from {where}: {cause}")

    def resolve(self, reference: str) -> str:
        """The absolute URL that the last answer means by `reference`. Raises SourceError."""
        with suppress(ValueError):
            url: str = urldefragauth(urljoin(self._url, reference))
            if urlsplit(url).scheme in ("http", "https"):
                return with_ascii_host(url)
        raise self.error(f"`next` leads to {public(reference)}, which is not a URL to read from")

    def read(self, url: str, conditions: Mapping[str, str]) -> requests.Response:
        """The answer at `url`: 200 with `body`, or 304 when `conditions` are sent as headers.

        Raises SourceError when it is not there whole in time, after several attempts.
        """
        self.page += 1
        self._url = url
        timeout = self._settings.rest_timeout
        wait = max(0.001, min(timeout, self._until - time.monotonic()))
        try:
            with self.get(url, headers=conditions, stream=True, timeout=wait) as response:
                self._url = response.url
                if response.status_code == 200:
                    self._receive(response)
                elif response.status_code != 304 or not conditions:
                    raise self.error(explain_status(response))
        except (HTTPError, OSError, ValueError, TooLate) as error:  # requests' are OSErrors
            self._url = getattr(getattr(error, "request", None), "url", self._url)
            cause = explain_failure(error, timeout)
            if isinstance(error, TooLate) or time.monotonic() >= self._until:
                limit = f"{self._settings.rest_deadline:g} s (CRON_TASKS_REST_DEADLINE)"
                why = f": {error}" if isinstance(error, TooLate) else ""
                cause = f"the list did not arrive within {limit}{why}"
            raise self.error(cause) from None
        response.raw = None  # which would keep the connection open
        return response

    def _receive(self, response: requests.Response) -> None:
        self.body.close()
        self.body = SpooledTemporaryFile(SPOOL)  # noqa: SIM115
        most: int = self._settings.rest_max_bytes
        for chunk in response.iter_content(CHUNK):
            self._bytes += len(chunk)
            if self._bytes > most:
                name = "CRON_TASKS_REST_MAX_BYTES"
                raise self.error(f"the list is larger than {most} bytes ({name})")
            self.body.write(chunk)
        self.body.seek(0)


def linked(response: requests.Response, relation: str) -> str | None:
    """Return the URL that the header Link gives for a relation, or None.

    http.client decodes headers as Latin-1, but services send addresses in UTF-8.
    """
    url: str | None = response.links.get(relation, {}).get("url")
    with suppress(UnicodeError):
        return url and url.encode("latin-1").decode()
    return url
