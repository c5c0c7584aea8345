"""The end of an attempt, as a worker or the sweeper found it. Pure."""

from dataclasses import dataclass

from cron_tasks.ledger.records import Status

#: The most characters of an error that are kept and sent. They are on one line.
ERROR_SHOWN = 500


@dataclass(slots=True)
class Result:
    """The result of an attempt: a status, with the error of a failure or the reason of a skip or
    miss.

    `other` is the blocking run. A failure that is not `final` may be retried, at the earliest
    `retry_after` seconds from now. `duration` is the duration of the attempt, in seconds.
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
    """The start and end of an attempt (seconds since the epoch), and its worker.

    `number` is the number of attempts, including this one. If a run ends before its next attempt,
    `number` counts the earlier attempts, and `started_at` is None.
    """

    number: int
    started_at: float | None
    finished_at: float
    worker: str | None
