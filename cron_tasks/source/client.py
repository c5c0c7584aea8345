"""What every request to the REST service has in common: who asks, and where the token may go."""

import re

import requests

from cron_tasks.settings import Settings
from cron_tasks.text import printable


class Client(requests.Session):
    """A session with the REST service at `base`. Raises SettingsError when that is not set."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.base: str = settings.required("rest_url").rstrip("/")
        self.auth = self._authorize
        self.max_redirects = 10
        self.headers.update({"Accept": "application/json", "User-Agent": "cron-tasks"})
        self._settings = settings

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


def public(url: str) -> str:
    """Of an address what is no secret: not its user and password, not its query."""
    return printable(re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0]))
