"""Reports over HTTP: one small PATCH each, many at once, none for longer than the time allowed."""

import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from cron_tasks.http.retry_after import read_retry_after
from cron_tasks.rest.client import Client, TooLate
from cron_tasks.rest.failures import REPORT_HINTS, explain_failure, explain_status
from cron_tasks.settings import Settings

#: Bytes of an answer that are read for the sake of its connection, which then serves again.
MOST_READ = 1 << 16
#: A redirect with another status would arrive without its body, or as a GET (RFC 9110, 15.4).
_KEEPS_THE_BODY = (307, 308)
#: What says of the service, not of one job, that it cannot take reports now: without a token that
#: counts it takes none.
_AWAY = (0, 401, 429, 502, 503, 504)

Verdict = Literal["taken", "unknown", "refused", "failed", "away"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, 0 for none; what it means if not success; seconds that the service asks to wait."""

    status: int
    cause: str = ""
    retry_after: float | None = None

    @property
    def verdict(self) -> Verdict:
        """`failed` may be mended by time for this job, `away` for all; `refused` for none."""
        if 200 <= self.status < 300:
            return "taken"
        if self.status in (404, 410):
            return "unknown"
        if self.status in _AWAY:
            return "away"
        return "failed" if self.status >= 500 else "refused"


class Patcher(Client):
    """Sends reports to CRON_TASKS_REST_REPORT_PATH; so many threads may share it."""

    def __init__(self, settings: Settings, threads: int) -> None:
        super().__init__(
            settings,
            until=lambda: time.monotonic() + settings.rest_timeout,
            pool=threads,
            # At once, for a connection that was closed meanwhile; more is up to the caller.
            total=1,
            allowed_methods={"PATCH"},
            status_forcelist=(),
            respect_retry_after_header=False,
        )
        self._path: str = settings.require("rest_report_path")
        self._timeout = settings.rest_timeout

    def report(self, job_id: str, body: bytes) -> Answer:
        """What the service answers to `body`, JSON, at the address of a job."""
        if job_id in (".", ".."):  # which a path cannot hold, however it is encoded (RFC 3986)
            return Answer(404)
        url = self.base + self._path.replace("{id}", quote(job_id, safe=""))
        headers, timeout = {"Content-Type": "application/json"}, self._timeout
        try:
            with self.patch(
                url, data=body, headers=headers, stream=True, timeout=timeout
            ) as response:
                if not response.is_redirect:  # whose body the adapter left unread
                    response.raw.read(MOST_READ)
        except (HTTPError, OSError, ValueError, TooLate) as error:  # requests' are OSErrors
            return Answer(0, self.clean(explain_failure(error, timeout)))
        cause = explain_status(response, REPORT_HINTS, "2xx")
        wait = read_retry_after(response.headers.get("Retry-After"), time.time())
        return Answer(response.status_code, cause, wait)

    def get_redirect_target(self, resp: requests.Response) -> Any:
        """Where to send a report again, if anywhere (overrides requests)."""
        return super().get_redirect_target(resp) if resp.status_code in _KEEPS_THE_BODY else None
