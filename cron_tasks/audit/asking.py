"""Answer what happened to a job at a time that a person names."""

import json
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from redis import Redis

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import Answer, explain_tick
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys
from cron_tasks.text.display import short_repr


def explain_at(redis: Redis, job_id: str, text: str, now: float) -> Answer:
    """Explain what happened to a job at a time, or what will happen.

    `text` is ISO 8601 or HH:MM of today, in the zone of the job unless it has an offset. Raises
    UnknownJob, and ValueError if it is not a time.
    """
    (found,) = read_accounts(redis, [job_id], range(0), read_open_ticks(redis))
    if not found.versions:
        Registry(redis).get_job(job_id)
    latest = next((v.schedule for v in reversed(found.versions) if v.schedule), None)
    zone = latest.timezone if latest else "UTC"
    when = _read_time(text, zone, now)
    (found,) = read_accounts(redis, [job_id], days_between(when, when), read_open_ticks(redis))
    to_skip = redis.zscore(keys.SKIPS, RunId(job_id, when)) is not None
    lines = cast("list[str]", redis.lrange(keys.HISTORY_PREFIX + job_id, 0, -1))
    history = map(json.loads, lines)
    runs = {run["run_id"]: run for run in history if "run_id" in run}
    return explain_tick(found, runs, when, now, zone, to_skip)


def _read_time(text: str, zone: str, now: float) -> float:
    """Return the time in seconds since the epoch. Without an offset it is a time in `zone`."""
    today = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    try:
        moment = datetime.fromisoformat(text if "-" in text else f"{today}T{text}")
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()
    except (ValueError, OverflowError):
        examples = "Examples: 2026-03-01T09:00, 09:00"
        raise ValueError(f"{short_repr(text)} is not a time. {examples}") from None
