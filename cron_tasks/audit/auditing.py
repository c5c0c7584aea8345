"""Audit pages of jobs: read their accounts and count how their ticks ended."""

import time
from collections.abc import Callable, Iterable

from redis import Redis

from cron_tasks.audit.account_reader import OpenTicks, days_between, read_accounts
from cron_tasks.audit.job_account import JobAccount
from cron_tasks.audit.tally import Tally, audit_job


def audit_page(
    redis: Redis,
    page: Iterable[str],
    opened: OpenTicks,
    begin: float,
    until: float,
    look: Callable[[JobAccount], None] = lambda _: None,
) -> Tally:
    """Audit a page of jobs from `begin` to `until` (seconds since the epoch).

    `opened` are the open ticks. `look` is called with each account. A tick that ends while its job
    is read may look as if it were lost or had run twice. So a job with a fault is read again, in
    one transaction.
    """
    total, suspects, days = Tally(), list[str](), days_between(begin, until)
    now = float(int(time.time()))
    for account in read_accounts(redis, page, days, opened):
        look(account)
        tally = audit_job(account, begin, until, now)
        if tally.has_faults:
            suspects.append(account.job_id)
        else:
            total.add(tally)
    now = float(int(time.time()))
    for account in read_accounts(redis, suspects, days):
        total.add(audit_job(account, begin, until, now))
    return total
