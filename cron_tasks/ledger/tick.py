"""A run that is due, with the data for its message to the workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cron_tasks.ledger.run_id import RunId


@dataclass(slots=True)
class Due:
    """A run to publish: the options of its message, and the kind of its action.

    A `quick` run takes no time. A run that `waits` does so on an event loop. Runs of the same kind
    share a message.
    """

    run_id: RunId
    job_id: str
    options: Mapping[str, Any]
    quick: bool
    waits: bool = False
