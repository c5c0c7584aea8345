"""Run ids: the name of a run, its Celery task id and its idempotency key. Pure."""

from datetime import datetime
from functools import lru_cache

from cron_tasks.schedules.iso8601 import iso_utc


def run_id(job_id: str, when: float) -> str:
    """The name of a tick: its run id, Celery task id and idempotency key."""
    return f"{job_id}@{iso_utc(when)}"


@lru_cache(maxsize=1024)
def parse_run_id(text: str) -> tuple[str, float] | None:
    """(job id, seconds) of a run id; None when `text` is not one."""
    job_id, at, moment = text.rpartition("@")
    if not at or not moment.endswith("Z"):
        return None
    when = _instant(moment)
    return None if when is None else (job_id, when)


@lru_cache(maxsize=65536)
def _instant(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
