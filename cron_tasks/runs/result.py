"""How an attempt ended, as a worker or the sweeper found it. Pure."""

from dataclasses import dataclass

from cron_tasks.ledger.records import Status

#: The most characters of an error that are kept and sent. They are on one line.
ERROR_SHOWN = 500


@dataclass(slots=True)
class Result:
    """How an attempt ended: a status, with the error of a failure or the reason of a skip or miss.

    `other` is the run that was in the way. A failure that is not `final` may be retried, at the
    earliest `retry_after` seconds from now. `duration` is how long the attempt took, in seconds.
    """

    status: Status
    reason: str | None = None
    error: str | None = None
    output: str | None = None
    other: str | None = None
    final: bool = False
    retry_after: float = 0.0
    duration: float | None = None


@dataclass(slots=True)
class Attempt:
    """When an attempt began and ended (seconds since the epoch), and who made it.

    `number` is how many attempts were made, including this one. If a run ends before its next
    attempt, `number` counts the earlier attempts, and `started_at` is None.
    """

    number: int
    started_at: float | None
    finished_at: float
    worker: str | None
