"""The results of a survey of the system: the slow parts of the health page."""

from collections.abc import Sequence
from dataclasses import dataclass

from cron_tasks.audit.tally import Tally
from cron_tasks.health.system import Finding


@dataclass(frozen=True, slots=True)
class Unrun:
    """Ticks of one job that did not run: their number, status and reason, and the latest one."""

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
    """The results so far. `checked_at` is when the checks were made (seconds)."""

    audit: Audit | None = None
    findings: Sequence[Finding] = ()
    checked_at: float | None = None
    workers: int | None = None
