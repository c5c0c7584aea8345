"""What every request to the REST service has in common: who asks, where the token may go, and a
limit of time for all of it, retries included.

Only the resolver of names is beyond its reach; it has timeouts of its own.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
from urllib3.util import Retry

from cron_tasks.http.adapter import LimitedAdapter
from cron_tasks.http.hosts import with_ascii_host
from cron_tasks.http.retry_after import read_retry_after
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable
from cron_tasks.text.masking import Mask

RETRY: dict[str, Any] = {
    "total": 3,
    "allowed_methods": {"GET"},
    "status_forcelist": {429, 502, 503, 504},
    "raise_on_status": False,
    "backoff_factor": 0.2,
    "backoff_jitter": 0.3,
}


class TooLate(Exception):
    """Another attempt might help, but not in time."""


class Client(requests.Session):
    """A session with the REST service at `base`. Raises SettingsError when that is not set.

    Nothing is done after `until` on the monotonic clock, which is asked at the begin of each answer
    and of each retry; `pool` is how many connections are kept; `retry` goes before RETRY.
    """

    def __init__(
        self, settings: Settings, until: Callable[[], float], pool: int = 10, **retry: Any
    ) -> None:
        super().__init__()
        adapter = _DeadlineAdapter(until, pool, RETRY | retry)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        self.base: str = settings.require("rest_url").rstrip("/")
        self.auth = self._authorize
        self.max_redirects = 10
        self.headers.update({"Accept": "application/json", "User-Agent": "cron-tasks"})
        self._settings = settings
        self._mask = Mask()
        if settings.rest_token:
            self._mask.hide(settings.rest_token.get_secret_value())

    def clean(self, text: str) -> str:
        """Return a text for messages without the token, which e.g. a redirect may repeat."""
        masked = self._mask.mask_text(text)
        return "(it repeats CRON_TASKS_REST_TOKEN)" if self._mask.occurs_in(masked) else masked

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The token goes to the origin of CRON_TASKS_REST_URL only; .netrc has no say."""
        request.headers.pop("Authorization", None)
        token = self._settings.rest_token
        if token and not self.should_strip_auth(self.base, request.url):  # type: ignore[no-untyped-call]
            request.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        return request

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, _: object) -> None:
        """Where a redirect leads (overrides requests)."""
        self._authorize(prepared_request)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirect leads, with its host in ASCII (overrides requests)."""
        location = super().get_redirect_target(resp)
        with suppress(ValueError):  # requests reports it
            return location and with_ascii_host(location)
        return location


def public(url: str) -> str:
    """Of an address what is no secret: not its user and password, not its query."""
    return printable(re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0]))


class _DeadlineAdapter(LimitedAdapter):
    def __init__(self, until: Callable[[], float], pool: int, retry: dict[str, Any]) -> None:
        class Retries(Retry):
            def sleep(self, response: Any = None) -> None:
                header = response.headers.get("Retry-After") if response is not None else None
                wait = read_retry_after(header, time.time()) or self.get_backoff_time()
                if time.monotonic() + wait >= until():
                    raise TooLate(f"the next attempt would be in {wait:.0f} s")
                time.sleep(wait)

        super().__init__(until, pool_maxsize=pool, max_retries=Retries(**retry))

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.is_redirect:  # requests would read its body, of any size, into memory
            response.close()
            response._content = b""
        return response
