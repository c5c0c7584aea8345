"""The rule for plain ticks, which the ledger may open and end as a batch. Pure.

A tick is plain if its notification is its only possible effect: nobody has to wait for it, and no
policy applies to it. All other ticks become single runs. A tick that beat has judged plain leaves
its batch as soon as that changes:

- its job was edited, paused or removed, or failed at its last run (`ledger/lua/conclude.lua`)
- somebody cancels or reopens the run (`Ledger.take_out`)
- a worker finds it too late, or no worker takes it in time (`worker/batches.py`, `beat/sweeper.py`)
"""

from collections.abc import Mapping
from typing import Any


def is_plain(document: Mapping[str, Any]) -> bool:
    """Return whether the ticks of a job are plain when they are on time.

    `document` has the fields that differ from the defaults of a job (`Job.to_document`). The other
    policies do not matter: a notification is neither retried nor interrupted, and never overlaps.
    """
    notify = document.get("notify", {})
    return (
        "action" not in document
        and document.get("enabled", True) is True
        and "recovered" not in notify.get("on", ())
        and notify.get("stale_after") is None
        # These jobs need each run separately.
        and document.get("expect_within") is None
        and document.get("heartbeat_url") is None
    )


def is_on_time(due: float, now: float, grace: float) -> bool:
    """Return whether a tick is on time, so that no catch-up policy applies. All times are in
    seconds."""
    return now - due <= grace
