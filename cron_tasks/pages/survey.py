"""The slow part of the health page, made in a thread while somebody looks at pages.

It audits the last day, and notes on the way which ticks were missed or skipped. And it runs those
checks of `cron-tasks doctor` that ask the workers or read every job.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.audit.account_reader import PAGE, read_job_ids, read_open_ticks
from cron_tasks.audit.auditing import audit_page
from cron_tasks.audit.job_account import JobAccount
from cron_tasks.audit.tally import Tally
from cron_tasks.health.checks import run_check
from cron_tasks.health.system import Finding, System
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store.paging import pages

log = structlog.get_logger("cron_tasks.pages")

#: Seconds between two audits, and between two rounds of checks, while somebody looks.
AUDIT_EVERY, CHECK_EVERY = 300.0, 20.0
#: Seconds without a look after which the survey rests.
LOOKED_WITHIN = 120.0
#: The audit rests for this share of the time that each page takes it.
REST = 1.0
#: Checks that ask the workers or read every job. Those that the health page makes itself are not
#: here, nor is the REST service: a page does not send it requests.
SLOW_CHECKS = (
    *("workers", "job queues", "task queues", "foreign workers", "waiting messages"),
    *("dead letters", "recipients", "redis eviction", "redis persistence", "clock"),
)
#: Ends of ticks that were not asked for by anybody, and so belong on the health page.
_UNWANTED = {
    *(("missed", reason) for reason in ("outside_window", "no_catchup", "discarded", "set_aside")),
    ("missed", "coalesced"),
    ("skipped", "overlap"),
    ("skipped", "discarded"),
}


@dataclass(frozen=True, slots=True)
class Unrun:
    """Ticks of one job that did not run: how many, for which status and reason, and the latest."""

    job_id: str
    status: str
    reason: str
    ticks: int
    latest: float


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit from `since` to `until` (seconds), and the ticks that did not run."""

    since: float
    until: float
    tally: Tally
    unrun: Sequence[Unrun]
    took: float


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is known so far. `checked_at` is when the checks were made (seconds)."""

    audit: Audit | None = None
    findings: Sequence[Finding] = ()
    checked_at: float | None = None
    workers: int | None = None


@dataclass(slots=True)
class _Noted:
    """Collects the ticks that did not run, from the accounts that an audit reads."""

    since: float
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    latest: dict[tuple[str, str, str], float] = field(default_factory=lambda: defaultdict(float))

    def look(self, account: JobAccount) -> None:
        for first, last, record in account.records:
            end = (record.get("status"), record.get("reason"))
            if last <= self.since or end not in _UNWANTED:
                continue
            key = (account.job_id, str(end[0]), str(end[1]))
            self.counts[key] += 1
            self.latest[key] = max(self.latest[key], last, first)

    def list(self) -> list[Unrun]:
        return [Unrun(*key, times, self.latest[key]) for key, times in self.counts.most_common()]


def make_audit(redis: Redis, now: float, rest: Callable[[float], None]) -> Audit:
    """Audit the last day. `rest` is called after each page with the seconds that it took."""
    until, began = float(int(now)), time.monotonic()
    noted, tally, opened = _Noted(until - DAY), Tally(), read_open_ticks(redis)
    for page in pages(read_job_ids(redis), PAGE):
        start = time.monotonic()
        tally.add(audit_page(redis, page, opened, until - DAY, until, noted.look))
        rest(time.monotonic() - start)
    return Audit(until - DAY, until, tally, noted.list(), time.monotonic() - began)


def run_checks(redis: Redis, settings: Settings, now: float) -> tuple[list[Finding], int]:
    """Run the slow checks. Return their findings, and the number of our workers."""
    system = System(settings, redis, now)
    findings = [run_check(name, system) for name in SLOW_CHECKS]
    return findings, sum(worker.is_ours for worker in system.workers)


class Survey:
    """Keeps a survey up to date while somebody looks."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._lock = threading.Lock()
        self._looked = 0.0
        self._surveyed = Surveyed()
        self._thread: threading.Thread | None = None
        self._due: dict[str, float] = {"audit": 0.0, "checks": 0.0}

    def get(self) -> Surveyed:
        """Return what is known, and have it kept up to date for the next minutes."""
        self._looked = time.monotonic()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="survey", daemon=True)
                self._thread.start()
        return self._surveyed

    def renew(self) -> None:
        """Make the audit again now, because somebody has changed what it found."""
        self._due["audit"] = 0.0

    def _run(self) -> None:
        while time.monotonic() - self._looked < LOOKED_WITHIN:
            try:
                self._keep("checks", CHECK_EVERY, self._check)
                self._keep("audit", AUDIT_EVERY, self._audit)
            except RedisError as error:
                log.warning("survey.failed", error=str(error))
            time.sleep(0.5)

    def _keep(self, what: str, every: float, make: Callable[[], Mapping[str, Any]]) -> None:
        if time.monotonic() >= self._due[what]:
            self._due[what] = time.monotonic() + every
            self._surveyed = replace(self._surveyed, **make())

    def _check(self) -> dict[str, Any]:
        findings, workers = run_checks(self._redis, self._settings, time.time())
        return {"findings": findings, "workers": workers, "checked_at": time.time()}

    def _audit(self) -> dict[str, Any]:
        return {"audit": make_audit(self._redis, time.time(), lambda took: time.sleep(took * REST))}
