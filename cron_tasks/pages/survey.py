"""The slow part of the health page, which takes seconds with very many jobs.

It audits the last day, and collects the ticks that were missed or skipped. It also runs the checks
of `cron-tasks doctor` that ask the workers or read every job.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from redis import Redis

from cron_tasks.audit.account_reader import PAGE, read_job_ids, read_open_ticks
from cron_tasks.audit.auditing import audit_page
from cron_tasks.audit.job_account import JobAccount
from cron_tasks.audit.tally import Tally
from cron_tasks.health.checks import run_check
from cron_tasks.health.system import Finding, System
from cron_tasks.pages.surveyed import Audit, Unrun
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store.paging import pages

#: Checks that ask the workers or read every job. The other checks run with the health page itself.
#: The REST service is not checked, because a page does not send it requests.
SLOW_CHECKS = (
    *("workers", "job queues", "task queues", "foreign workers", "waiting messages"),
    *("dead letters", "recipients", "redis eviction", "redis persistence", "clock"),
)
#: Outcomes of ticks that nobody asked for, so that they belong on the health page.
_UNWANTED = {
    *(("missed", reason) for reason in ("outside_window", "no_catchup", "discarded", "set_aside")),
    ("missed", "coalesced"),
    ("skipped", "overlap"),
    ("skipped", "discarded"),
}


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


def make_audit(redis: Redis, now: float) -> Audit:
    """Audit the last day."""
    until, began = float(int(now)), time.monotonic()
    noted, tally, opened = _Noted(until - DAY), Tally(), read_open_ticks(redis)
    for page in pages(read_job_ids(redis), PAGE):
        tally.add(audit_page(redis, page, opened, until - DAY, until, noted.look))
    return Audit(until - DAY, until, tally, noted.list(), time.monotonic() - began)


def run_checks(redis: Redis, settings: Settings, now: float) -> tuple[list[Finding], int]:
    """Run the slow checks. Return their findings, and the number of our workers."""
    system = System(settings, redis, now)
    findings = [run_check(name, system) for name in SLOW_CHECKS]
    return findings, sum(worker.is_ours for worker in system.workers)
