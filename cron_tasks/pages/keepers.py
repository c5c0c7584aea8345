"""Keep the survey and the forecast up to date while somebody has a page open.

With many jobs a separate process makes them (beside.py), so that Flower stays responsive.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import structlog
from redis.exceptions import RedisError

from cron_tasks.pages.forecast import Forecast
from cron_tasks.pages.index import Snapshot
from cron_tasks.pages.surveyed import Surveyed

log = structlog.get_logger("cron_tasks.pages")

_FAILURES = (RedisError, OSError, subprocess.SubprocessError)
#: Makes "audit", "checks" or "forecast". Raises one of _FAILURES.
Make = Callable[[str], Any]
#: The least and most seconds between two audits while somebody has a page open. A long audit is
#: repeated only after this many times its duration.
AUDIT_SOON, AUDIT_EVERY, AUDIT_REST = 15.0, 300.0, 100
#: Seconds between two rounds of checks while somebody has a page open. Checks that found a problem
#: are repeated sooner, so that a fixed part does not look broken.
CHECK_EVERY, CHECK_AGAIN = 20.0, 10.0
#: Seconds without a request after which the survey pauses.
LOOKED_WITHIN = 120.0
#: Seconds after which a forecast is made again. It is also made again after an edit, but only after
#: this many times the duration of the last one.
STALE, REST = 600.0, 10


class Survey:
    """Keeps a survey up to date while somebody has a page open."""

    def __init__(self, make: Make) -> None:
        self._make_part = make
        self._lock = threading.Lock()
        self._looked = 0.0
        self._surveyed = Surveyed()
        self._thread: threading.Thread | None = None
        #: When each part was last started, by the monotonic clock.
        self._made = {"audit": -inf, "checks": -inf}

    def get(self) -> Surveyed:
        """Return the results so far, and keep them up to date for the next minutes."""
        self._looked = time.monotonic()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="survey", daemon=True)
                self._thread.start()
        return self._surveyed

    def renew(self) -> None:
        """Audit again now, because somebody has changed something that the audit found."""
        self._made["audit"] = -inf

    def _run(self) -> None:
        while time.monotonic() - self._looked < LOOKED_WITHIN:
            try:
                is_well = all(each.status == "ok" for each in self._surveyed.findings)
                self._keep("checks", CHECK_EVERY if is_well else CHECK_AGAIN, self._check)
                took = self._surveyed.audit.took if self._surveyed.audit else 0.0
                pause = min(max(AUDIT_REST * took, AUDIT_SOON), AUDIT_EVERY)
                self._keep("audit", pause, self._audit)
            except _FAILURES as error:
                log.warning("survey.failed", error=str(error))
            time.sleep(0.5)

    def _keep(self, what: str, every: float, make: Callable[[], Mapping[str, Any]]) -> None:
        if time.monotonic() >= self._made[what] + every:
            self._made[what] = time.monotonic()
            self._surveyed = replace(self._surveyed, **make())

    def _check(self) -> dict[str, Any]:
        findings, workers = self._make_part("checks")
        return {"findings": findings, "workers": workers, "checked_at": time.time()}

    def _audit(self) -> dict[str, Any]:
        return {"audit": self._make_part("audit")}


class Forecaster:
    """Makes forecasts in the background, when one is asked for and the jobs have changed."""

    def __init__(self, make: Make) -> None:
        self._make_part = make
        self._lock = threading.Lock()
        self._forecast: Forecast | None = None
        self._of: object = None
        self._took = 0.0

    def get(self, snapshot: Snapshot, patience: float) -> Forecast | None:
        """Return the latest forecast. None if the first one is not ready after `patience` seconds.

        If the jobs have changed since, the next one is made in the background.
        """
        known = self._forecast
        age = time.time() - known.made if known else STALE
        # A forecast that took long is not repeated at every edit.
        is_due = known is None or age >= STALE or self._of is not snapshot.seen
        if is_due and age > REST * self._took:
            thread = threading.Thread(target=self._make, args=[snapshot], daemon=True)
            thread.start()
            if known is None:
                thread.join(patience)
        return self._forecast

    def _make(self, snapshot: Snapshot) -> None:
        if not self._lock.acquire(blocking=False):
            return
        began = time.monotonic()
        try:
            self._forecast = self._make_part("forecast")
            self._of = snapshot.seen
        except _FAILURES as error:
            log.warning("forecast.failed", error=str(error))
        finally:
            self._took = time.monotonic() - began
            self._lock.release()
