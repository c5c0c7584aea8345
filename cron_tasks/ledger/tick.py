"""A run that is due, as its message to the workers needs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cron_tasks.ledger.run_id import RunId


@dataclass(slots=True)
class Due:
    """A tick to publish: its message's routing, and whether it may share a message."""

    run_id: RunId
    job_id: str
    options: Mapping[str, Any]
    quick: bool
