"""Run ids: the name of a run, its Celery task id and its idempotency key. Pure."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from cron_tasks.schedules.iso8601 import iso_utc


class RunId(str):
    """The id of a run of a job at a fire time, as text with attributes: `7@2026-11-23T09:00:00Z`.

    `scheduled_for` is the fire time in seconds since the epoch. Text becomes a RunId once, where it
    comes from Redis, from a message or from a person.
    """

    __slots__ = ("job_id", "scheduled_for")
    job_id: str
    scheduled_for: float

    def __new__(cls, job_id: str, scheduled_for: float) -> "RunId":
        return _make(f"{job_id}@{iso_utc(scheduled_for)}", job_id, scheduled_for)

    @classmethod
    def parse(cls, text: str) -> "RunId | None":
        """Parse a run id, with its time in any spelling. None if `text` is not a run id."""
        job_id, at, moment = text.rpartition("@")
        if not at or not moment.endswith("Z"):
            return None
        when = _seconds(moment)
        return None if when is None else _make(text, job_id, when)

    @classmethod
    def stored(cls, text: str) -> "RunId":
        """Parse a run id from Redis. Text that is not one belongs to no job (`job_id` is "")."""
        return cls.parse(text) or _make(text, "", 0.0)

    def __reduce__(self) -> tuple[Any, ...]:
        return RunId.stored, (str(self),)


def _make(text: str, job_id: str, scheduled_for: float) -> RunId:
    run_id = str.__new__(RunId, text)
    run_id.job_id = job_id
    run_id.scheduled_for = scheduled_for
    return run_id


@lru_cache(maxsize=65536)
def _seconds(moment: str) -> float | None:
    """Return the seconds of a time. The result is cached, because runs of a storm share their
    time."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None
