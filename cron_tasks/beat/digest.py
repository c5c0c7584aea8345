"""Sends the digest at its hour (`CRON_TASKS_DIGEST`)."""

import structlog
from redis import Redis

from cron_tasks.ledger.alarms import Alarms
from cron_tasks.runs.digest import last_end, write_digest
from cron_tasks.runs.digest_reader import read_digest
from cron_tasks.settings import Settings

log = structlog.get_logger("cron_tasks.beat")


def tell_digest(redis: Redis, settings: Settings, now: float) -> bool:
    """Send the digest if it is due and was not sent yet. Return whether this call has sent it.

    It begins where the last one ended, so an outage leaves nothing out. The first digest covers a
    day.
    """
    plan, zone = settings.digest, settings.timezone
    if plan is None:
        return False
    alarms = Alarms(redis, settings)
    end, last = last_end(now, plan.hour, zone), alarms.digest_until()
    if last is not None and last >= end:
        return False
    since = max(last or last_end(now, plan.hour, zone, 1), end - alarms.kept)
    counts, names = read_digest(redis, since, end)
    message = write_digest(counts, names, end, now, settings)
    if not alarms.tell_digest(end, message):
        return False
    log.info("digest.told", entries=len(counts))
    return True
