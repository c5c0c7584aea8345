"""The outcome of a sync, for its caller and for the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from cron_tasks.jobs.job import KNOWN_FIELDS, Job
from cron_tasks.jobs.messages import describe_unknown_fields
from cron_tasks.registry.plan import Changes
from cron_tasks.runs.telling import lacks_recipient
from cron_tasks.settings import Settings
from cron_tasks.sync.state import SourceStatus, State

log = structlog.get_logger("cron_tasks.sync")


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a sync, or of a preview. In a state other than ok, nothing was changed.

    `detail` then gives the reason.
    """

    state: State
    changes: Changes
    detail: str = ""
    not_modified: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the fields of docs/contract.md, section 5, and `state` and `detail`."""
        changes = self.changes
        return {
            "state": self.state,
            "detail": self.detail,
            "added": [desired.job.id for desired in changes.added],
            "changed": [desired.job.id for desired in changes.changed],
            "removed": changes.removed,
            "unchanged": changes.unchanged,
            "rejected": [{"id": each.id, "errors": each.errors} for each in changes.rejected],
        }


def log_report(report: Report, before: SourceStatus, settings: Settings) -> None:
    """Log a change of state, and what changed in the registry. Log nothing if nothing changed."""
    if report.state == "ok":
        if before.state not in (None, "ok"):
            log.info("sync.recovered", was=before.state, since=before.since)
        log_changes(report.changes, settings)
    elif (report.state, report.detail) != (before.state, before.detail):
        log.error(f"sync.{report.state}", detail=report.detail, changed="nothing")


def log_changes(changes: Changes, settings: Settings) -> None:
    """Log what changed in the registry, and the warnings of the written jobs."""
    if changes:
        log.info(
            "sync.done",
            added=len(changes.added),
            changed=len(changes.changed),
            removed=len(changes.removed),
            unchanged=changes.unchanged,
            rejected=len(changes.rejected),
        )
    written = [desired.job for desired in (*changes.added, *changes.changed)]
    for job in written:
        for warning in job.lost_switches:
            log.warning("job.warning", job_id=job.id, warning=warning)
    _log_unknown_fields(written)
    _log_left_out(written)
    _log_without_recipient(written, settings)


def _log_unknown_fields(jobs: Sequence[Job]) -> None:
    """Log the unknown fields of all written jobs in one line, the commonest first."""
    rows = Counter(name for job in jobs for name in job.unknown_fields)
    if rows:
        names = tuple(name for name, _ in rows.most_common())
        first = next(job.id for job in jobs if job.unknown_fields)
        log.warning(
            "sync.unknown_fields",
            warning=describe_unknown_fields(names, KNOWN_FIELDS),
            jobs=sum(bool(job.unknown_fields) for job in jobs),
            job_id=first,
        )


def _log_left_out(jobs: Sequence[Job]) -> None:
    """Log in one line that faulty fields of written jobs are left out, with the first fault."""
    found = [job for job in jobs if job.left_out]
    if found:
        first = found[0]
        warning = first.left_out[0]
        log.warning("sync.left_out", warning=warning, jobs=len(found), job_id=first.id)


def _log_without_recipient(jobs: Sequence[Job], settings: Settings) -> None:
    """Log in one line that the notifications of written jobs name no chat."""
    found = [job for job in jobs if job.enabled and lacks_recipient(job, settings)]
    if found:
        warning = "notifications without a recipient: set `chat_id`, or CRON_TASKS_CHAT_ID"
        log.warning("sync.no_recipient", warning=warning, jobs=len(found), job_id=found[0].id)
