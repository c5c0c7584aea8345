"""The outcome of a sync, for its caller and for the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from cron_tasks.registry.plan import Changes
from cron_tasks.sync.remarks import log_remarks
from cron_tasks.sync.state import SourceStatus, State

log = structlog.get_logger("cron_tasks.sync")


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a sync, or of a preview. In a state other than ok, nothing was changed.

    `detail` then gives the reason. `warnings` name the worst minutes, if there are any (load.py).
    With `is_of_another` the registry belongs to another service.
    """

    state: State
    changes: Changes
    detail: str = ""
    not_modified: bool = False
    warnings: Sequence[str] = ()
    is_of_another: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the fields of docs/contract.md, section 5, including `state` and `detail`."""
        changes = self.changes
        return {
            "state": self.state,
            "detail": self.detail,
            "added": [desired.id for desired in changes.added],
            "changed": [desired.id for desired in changes.changed],
            "removed": changes.removed,
            "unchanged": changes.unchanged,
            "warnings": list(self.warnings),
            "rejected": [{"id": each.id, "errors": each.errors} for each in changes.rejected],
        }


def log_report(report: Report, before: SourceStatus) -> None:
    """Log a change of state, and what changed in the registry. Log nothing if nothing changed."""
    if report.state == "ok":
        if before.state not in (None, "ok"):
            log.info("sync.recovered", was=before.state, since=before.since)
        log_changes(report.changes)
        for warning in report.warnings:
            log.warning("sync.busy", warning=warning)
    elif (report.state, report.detail) != (before.state, before.detail):
        log.error(f"sync.{report.state}", detail=report.detail, changed="nothing")


def log_changes(changes: Changes) -> None:
    """Log what changed in the registry, and the remarks about the written jobs."""
    if changes:
        log.info(
            "sync.done",
            added=len(changes.added),
            changed=len(changes.changed),
            removed=len(changes.removed),
            unchanged=changes.unchanged,
            rejected=len(changes.rejected),
        )
    log_remarks(changes.remarks)
