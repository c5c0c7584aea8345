"""The registry's changes: each script changes a job, its due time and its past in one step.

The `since` of a job is the time from which its timing is valid. The previous timing becomes one of
its versions, so that an audit knows which ticks to expect. A change overtakes ticks that are due
but have not fired: they are accounted for as missed, or as skipped (skips.py).
"""

from typing import Any

from cron_tasks.ledger.counting import SKIPPED_BY_HAND, count_missed
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store.scripts import Script, script

put: Script[tuple[list[tuple[str, str]], list[list[str]]]] = script("registry/put")
remove: Script[list[list[str]]] = script("registry/remove")
pause: Script[list[list[str]] | int] = script("registry/pause")
resume: Script[str] = script("registry/resume")


def describe_change(now: float, reason: str, audited: int) -> dict[str, Any]:
    """Return the arguments that all of these scripts share (supersede.lua).

    Ticks that the change overtakes are missed for `reason`. The audit looks back for `audited`
    seconds.
    """
    tail = f'"status": "missed", "reason": "{reason}", "until": "{iso_utc(now)}"}}'
    return {
        "now": repr(now),
        "audit_ttl": audited,
        "overtaken_tail": tail,
        "overtaken_counts": count_missed(reason),
        "skip_counts": SKIPPED_BY_HAND,
    }
