"""One page over HTTP, whole, within limits of time and size, or a sentence saying why not.

urllib3's Retry decides whether and when to try again, and requests sends. Their own loops are not
used: they read the bodies of failed and redirecting answers whole into memory, sleep beyond any
deadline, and end in nested reprs; and here a body that breaks off is tried again as well.
"""

import io
import re
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.exceptions import RequestException
from requests.utils import get_auth_from_url, requote_uri, urldefragauth
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError
from urllib3.util import Retry

from cron_tasks.errors import SourceError
from cron_tasks.settings import Settings
from cron_tasks.source.causes import status_cause, transport_cause
from cron_tasks.source.clock import Clock, ClockedAdapter
from cron_tasks.text import printable

RETRY = Retry(
    total=3,
    allowed_methods={"GET"},
    status_forcelist={429, 502, 503, 504},
    backoff_factor=0.2,
    backoff_jitter=0.3,
)
MAX_REDIRECTS = 10
CHUNK = 1 << 16
#: Bytes of a page that stay in memory; the rest goes to a temporary file.
SPOOL = 8 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer: 200 with a body, or 304 without."""

    status: int
    headers: Mapping[str, str]
    body: IO[bytes]


class _Failure(Exception):
    """One attempt failed; `wait` is the seconds the service asked for."""

    def __init__(self, cause: str, again: bool = False, wait: float | None = None) -> None:
        super().__init__(cause)
        self.again = again
        self.wait = wait


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class Fetcher:
    """Reads the pages of one list, one at a time; the limits hold for all of them together."""

    def __init__(self, settings: Settings) -> None:
        home = settings.required("rest_url").rstrip("/") + settings.rest_jobs_path
        self.home = urldefragauth(home)
        self._timeout = settings.rest_timeout
        self._deadline = f"{settings.rest_deadline:g} s (CRON_TASKS_REST_DEADLINE)"
        self._clock = Clock(settings.rest_deadline)
        self._max_bytes: int = settings.rest_max_bytes
        self._bytes = 0
        self._url = self.home
        self.page = 0
        self._body: IO[bytes] | None = None
        self._auth: AuthBase | None = None
        user, password = get_auth_from_url(home)
        if settings.rest_token is not None:
            self._auth = _Bearer(settings.rest_token.get_secret_value())
        elif user or password:
            self._auth = HTTPBasicAuth(user, password)
        self._session = requests.Session()
        self._session.headers.update({"Accept": "application/json", "User-Agent": "cron-tasks"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, ClockedAdapter(self._clock))

    def close(self) -> None:
        self._release()
        self._session.close()

    def error(self, cause: str) -> SourceError:
        """`cause` with the address that was last read, without what may be secret in it."""
        what = f"page {self.page} of the jobs" if self.page > 1 else "the jobs"
        return SourceError(f"cannot read {what} from {_public(self._url)}: {cause}")

    def get(self, url: str, conditions: Mapping[str, str]) -> Page:
        """The page at `url`, with `conditions` as headers; closes the body of the page before.

        Raises SourceError when it is not there whole in time, after several attempts.
        """
        self.page += 1
        retry = RETRY
        with self._clock:
            while True:
                try:
                    return self._attempt(url, conditions)
                except _Failure as failure:
                    retry = self._next_retry(retry, failure)
                    self._sleep(retry, failure)

    def resolve(self, reference: str) -> str:
        """The absolute URL that the last answer means by `reference`. Raises SourceError."""
        try:
            url: str = urldefragauth(requote_uri(urljoin(self._url, reference)))
            if urlsplit(url).scheme in ("http", "https"):
                return url
        except ValueError:
            pass
        raise self.error(f"it leads to {_public(reference)}, which is not a URL to read from")

    def _next_retry(self, retry: Retry, failure: _Failure) -> Retry:
        if self._clock.expired:
            raise self.error(f"the list did not arrive within {self._deadline}") from None
        if not failure.again:
            raise self.error(str(failure)) from None
        try:
            return retry.increment("GET", self._url, error=failure)
        except MaxRetryError:
            raise self.error(f"{failure} ({len(retry.history) + 1} attempts)") from None

    def _sleep(self, retry: Retry, failure: _Failure) -> None:
        seconds = failure.wait or retry.get_backoff_time()
        if seconds >= self._clock.left():
            late = f"the next attempt would be later than {self._deadline} allow"
            raise self.error(f"{failure}; {late}") from None
        time.sleep(seconds)

    def _attempt(self, url: str, conditions: Mapping[str, str]) -> Page:
        for _ in range(MAX_REDIRECTS + 1):
            with closing(self._send(url, conditions)) as response:
                target = self._session.get_redirect_target(response)
                if target is None:
                    return self._page(response, conditions)
            url = self.resolve(target)
        raise _Failure(f"it redirects more than {MAX_REDIRECTS} times")

    def _send(self, url: str, conditions: Mapping[str, str]) -> requests.Response:
        self._url = url
        limit = max(0.001, min(self._timeout, self._clock.left()))
        try:
            request = self._session.prepare_request(
                requests.Request("GET", url, headers=dict(conditions), auth=self._authorize)
            )
            options: Any = self._session.merge_environment_settings(url, {}, True, None, None)
            adapter = self._session.get_adapter(url)
            return adapter.send(request, timeout=(limit, limit), **options)
        except (HTTPError, OSError, ValueError) as error:  # RequestException is an OSError
            raise _Failure(*transport_cause(error, self._timeout)) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The token goes to the origin of CRON_TASKS_REST_URL only; .netrc has no say."""
        strip = self._session.should_strip_auth(self.home, request.url)  # type: ignore[no-untyped-call]
        return request if self._auth is None or strip else self._auth(request)

    def _page(self, response: requests.Response, conditions: Mapping[str, str]) -> Page:
        code = response.status_code
        if code == 200:
            return Page(code, response.headers, self._read(response))
        if code == 304 and conditions:
            return Page(code, response.headers, io.BytesIO())
        cause = status_cause(code, "Authorization" in response.request.headers)
        if not RETRY.is_retry("GET", code, "Retry-After" in response.headers):
            raise _Failure(cause)
        wait = None
        with suppress(InvalidHeader, ValueError, OverflowError):
            wait = RETRY.get_retry_after(response.raw)
        raise _Failure(cause, True, wait)

    def _read(self, response: requests.Response) -> IO[bytes]:
        self._release()
        self._body = body = SpooledTemporaryFile(SPOOL)  # noqa: SIM115
        try:
            for chunk in response.iter_content(CHUNK):
                self._bytes += len(chunk)
                if self._bytes > self._max_bytes:
                    limit = f"{self._max_bytes} bytes (CRON_TASKS_REST_MAX_BYTES)"
                    raise _Failure(f"the list is larger than {limit}")
                body.write(chunk)
        except (RequestException, HTTPError) as error:
            raise _Failure(*transport_cause(error, self._timeout)) from None
        except OSError as error:
            raise _Failure(f"no room for a temporary file: {error.strerror}; see TMPDIR") from None
        if self._clock.expired:  # an end that the clock made, not the service
            raise _Failure("")
        body.seek(0)
        return body

    def _release(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def _public(url: str) -> str:
    """Of an address what is no secret: not its user and password, not its query."""
    return printable(re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0]))
