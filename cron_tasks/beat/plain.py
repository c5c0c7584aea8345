"""The rule which ticks are plain, so that the ledger may open and end them as a batch. Pure.

A tick is plain if nothing but its notification can come of it: nobody has to wait for it, and no
policy has a say. Whatever is not plain goes the way of a single run. After beat has judged it, the
tick leaves its batch as soon as that changes:

- its job was edited, paused or removed, or failed at its last run (`ledger/lua/conclude.lua`)
- somebody cancels the run, or opens it once more (`Ledger.take_out`)
- a worker finds it too late, or no worker takes it in time (`worker/batches.py`, `beat/sweeper.py`)
"""

from collections.abc import Mapping
from typing import Any


def is_plain(document: Mapping[str, Any]) -> bool:
    """Return whether the ticks of a job are plain when they are on time.

    `document` is what differs from the defaults of a job (`Job.to_document`). Other policies do
    not matter: a notification is neither retried nor cut off, and overlaps with nothing.
    """
    notify = document.get("notify", {})
    return (
        "action" not in document
        and document.get("enabled", True) is True
        and "recovered" not in notify.get("on", ())
        and notify.get("stale_after") is None
        # Somebody counts on each run by itself.
        and document.get("expect_within") is None
        and document.get("heartbeat_url") is None
    )


def is_on_time(due: float, now: float, grace: float) -> bool:
    """Return whether a tick is no matter of catch-up yet. All times are in seconds."""
    return now - due <= grace
