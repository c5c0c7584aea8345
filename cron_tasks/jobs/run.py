"""One attempt at a run, with the data for actions and templates. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cron_tasks.schedules.iso8601 import iso_utc

if TYPE_CHECKING:
    from cron_tasks.jobs.job import Job


@dataclass(slots=True)
class Run:
    """One attempt at a scheduled run, as an action gets it.

    `scheduled_for` is the fire time in seconds since the epoch. `traceparent` is the header of W3C
    Trace Context for requests of this attempt, and "" if runs are not traced.
    """

    job: "Job"
    run_id: str
    scheduled_for: float
    attempt: int
    traceparent: str = ""

    @property
    def values(self) -> dict[str, str]:
        """Return the values of the placeholders in a job's texts, by name."""
        scheduled = datetime.fromtimestamp(self.scheduled_for, ZoneInfo(self.job.timezone))
        return {
            "name": self.job.name,
            "id": self.job.id,
            "run_id": self.run_id,
            "scheduled_for": iso_utc(self.scheduled_for),
            "attempt": str(self.attempt),
            "time": f"{scheduled:%Y-%m-%d %H:%M}",
        }
