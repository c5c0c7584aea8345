"""The session that every request to the REST service uses.

It identifies us, sends the token only to the service's own origin, and ends each request, including
retries, by a deadline. The deadline does not cover the resolution of host names, which has separate
timeouts.
"""

import re
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from cron_tasks.http.adapter import LimitedAdapter
from cron_tasks.http.failures import describe_status
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
    """A further attempt might succeed, but only after the deadline."""


#: The exceptions of a request without a complete answer. Those of `requests` are OSErrors.
REQUEST_ERRORS = (HTTPError, OSError, ValueError, TooLate)


class Client(requests.Session):
    """A session with the REST service at `base`. Raises SettingsError if REST_URL is not set.

    `until` returns the deadline on the monotonic clock. It is called at the start of each answer
    and of each retry. `pool` is the number of connections that are kept open. `retry` overrides
    options in RETRY.
    """

    def __init__(
        self, settings: Settings, until: Callable[[], float], pool: int = 10, **retry: Any
    ) -> None:
        super().__init__()
        adapter = _DeadlineAdapter(until, pool, RETRY | retry)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        self.base: str = settings.require("rest_url").rstrip("/")
        self.auth = self._identify
        self.max_redirects = 10
        self.headers.update({"Accept": "application/json", "User-Agent": "cron-tasks"})
        self._settings = settings
        self._secret_headers = secret_headers(settings)
        self._mask = Mask()
        for secret in (settings.rest_token, *settings.rest_headers.values()):
            if secret:
                self._mask.hide(secret.get_secret_value())
        if settings.rest_token and settings.rest_auth_scheme.lower() == "basic":
            login = _read_login(settings.rest_token.get_secret_value())
            for spelled in filter(None, (login, login.partition(":")[2])):
                self._mask.hide(spelled)

    def mask_token(self, text: str) -> str:
        """Return a text for messages without the token, which for example a redirect may repeat."""
        masked = self._mask.mask_text(text)
        repeats = "(it repeats CRON_TASKS_REST_TOKEN or CRON_TASKS_REST_HEADERS)"
        return repeats if self._mask.occurs_in(masked) else masked

    def _identify(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Send the secret headers to the origin of CRON_TASKS_REST_URL only. Ignore .netrc."""
        for name in ("Authorization", *self._secret_headers):
            request.headers.pop(name, None)
        if not self.is_foreign(request.url or ""):
            request.headers.update(self._secret_headers)
        return request

    def is_foreign(self, url: str) -> bool:
        """Return whether a URL is on another origin than CRON_TASKS_REST_URL."""
        session: Any = self  # requests has no type for `should_strip_auth`.
        return bool(session.should_strip_auth(self.base, url))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, _: object) -> None:
        """Set the token again after a redirect (overrides requests)."""
        self._identify(prepared_request)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the target of a redirect, with its host in ASCII (overrides requests)."""
        location = super().get_redirect_target(resp)
        with suppress(ValueError):  # requests reports it
            return location and with_ascii_host(location)
        return location


def secret_headers(settings: Settings) -> dict[str, str]:
    """Return the headers that identify us, with the token by its scheme (RFC 9110, 11.6.2)."""
    headers = {name: value.get_secret_value() for name, value in settings.rest_headers.items()}
    if settings.rest_token:
        token, scheme = settings.rest_token.get_secret_value(), settings.rest_auth_scheme
        if scheme.lower() == "basic":  # RFC 7617
            token = b64encode(_read_login(token).encode()).decode()
        headers["Authorization"] = f"{scheme} {token}"
    return headers


def _read_login(token: str) -> str:
    """Return the `user:password` of a token, which may be in base64."""
    with suppress(ValueError):
        login = b64decode(token, validate=True).decode()
        return login if ":" in login else token
    return token


def strip_credentials(url: str) -> str:
    """Return a URL for messages, without user, password and query, which may be secret."""
    return printable(re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0]))


def _too_late(response: Any, wait: float) -> str:
    """Return why there is no further attempt in time."""
    if response is None or "Retry-After" not in response.headers:
        return f"the next attempt would be in {wait:.0f} s"
    answered = f"the service answered {describe_status(response.status)}"
    return f"{answered} and asks to wait {wait:.0f} s"


class _DeadlineAdapter(LimitedAdapter):
    def __init__(self, until: Callable[[], float], pool: int, retry: dict[str, Any]) -> None:
        class Retries(Retry):
            def sleep(self, response: Any = None) -> None:
                wait = self.get_backoff_time()
                if response:
                    asked = read_retry_after(response.headers.get("Retry-After"), time.time())
                    wait = asked or wait
                if time.monotonic() + wait >= until():
                    raise TooLate(_too_late(response, wait))
                time.sleep(wait)

        super().__init__(until, pool_maxsize=pool, max_retries=Retries(**retry))

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.is_redirect:
            # requests would read its body into memory, whatever its size.
            response.close()
            response._content = b""
        return response
