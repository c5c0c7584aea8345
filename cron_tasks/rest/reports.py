"""Send reports over HTTP: one small PATCH each, many at once, each within a time limit."""

import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urljoin

import requests

from cron_tasks.http.retry_after import read_retry_after
from cron_tasks.rest.client import REQUEST_ERRORS, Client
from cron_tasks.rest.failures import (
    REPORT_HINTS,
    add_login_hints,
    explain_failure,
    explain_status,
)
from cron_tasks.settings import Settings

#: Bytes of an answer that are read so that its connection can be used again.
MOST_READ = 1 << 16
#: A redirect with another status would arrive without its body, or as a GET (RFC 9110, 15.4).
_KEEPS_THE_BODY = (307, 308)
#: The statuses of a service that is away: it accepts no reports until it is back. 0 is no answer at
#: all. With 401 the token is not valid for any report.
_AWAY = (0, 401, 429, 502, 503, 504)

Verdict = Literal["taken", "unknown", "refused", "failed", "away"]


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """The status of an answer (0 if there is none), and its cause if it is not a success.

    `retry_after` is the number of seconds that the service asks us to wait.
    """

    status: int
    cause: str = ""
    retry_after: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Return what the answer means for the report.

        After `failed`, the report of this job may succeed later. After `away`, those of all jobs
        may. After `refused`, it does not succeed until something changes.
        """
        if 200 <= self.status < 300:
            return "taken"
        if self.status in (404, 410):
            return "unknown"
        if self.status in _AWAY:
            return "away"
        return "failed" if self.status >= 500 else "refused"


class Patcher(Client):
    """Sends reports to CRON_TASKS_REST_REPORT_PATH. Up to `threads` threads may share it."""

    def __init__(self, settings: Settings, threads: int) -> None:
        super().__init__(
            settings,
            until=lambda: time.monotonic() + settings.rest_timeout,
            pool=threads,
            # One immediate retry, for a connection that was closed meanwhile. The caller retries
            # further.
            total=1,
            allowed_methods={"PATCH"},
            status_forcelist=(),
            respect_retry_after_header=False,
        )
        self._path: str = settings.require("rest_report_path")
        self._timeout = settings.rest_timeout
        self._hints = add_login_hints(REPORT_HINTS, settings)

    def send_report(self, job_id: str, body: bytes) -> ReportAnswer:
        """Send `body`, which is JSON, to the URL of a job, and return the answer."""
        if job_id in (".", ".."):  # A path cannot hold these, in any encoding (RFC 3986).
            return ReportAnswer(404)
        url = self.base + self._path.replace("{id}", quote(job_id, safe=""))
        headers, timeout = {"Content-Type": "application/json"}, self._timeout
        try:
            with self.patch(
                url, data=body, headers=headers, stream=True, timeout=timeout
            ) as response:
                if not response.is_redirect:  # The adapter has closed a redirect.
                    response.raw.read(MOST_READ)
        except REQUEST_ERRORS as error:
            return ReportAnswer(0, self.mask_token(explain_failure(error, timeout)))
        cause = explain_status(response, self._hints, "2xx") + _suggest_slash(url, response)
        wait = read_retry_after(response.headers.get("Retry-After"), time.time())
        return ReportAnswer(response.status_code, cause, wait)

    def get_redirect_target(self, resp: requests.Response) -> Any:
        """Return the URL to send a report to again, or None (overrides requests)."""
        return super().get_redirect_target(resp) if resp.status_code in _KEEPS_THE_BODY else None


def _suggest_slash(url: str, response: requests.Response) -> str:
    """Return a hint if the answer redirects to the same URL with a slash, as Django does."""
    target = response.headers.get("Location", "")
    if response.status_code in _KEEPS_THE_BODY or not target.endswith("/"):
        return ""
    return ": end it with a slash" if urljoin(url, target) == f"{url}/" else ""
