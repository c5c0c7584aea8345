"""A run in flight on an event loop."""

import asyncio
from dataclasses import dataclass, field

from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import Claim
from cron_tasks.runs.result import Result
from cron_tasks.worker.interrupts import HARD


@dataclass(slots=True, eq=False)
class Flight:
    """A claimed run, whose action is a coroutine. `place` is the thing it waits for, such as a
    host.

    `started_at` is in seconds since the epoch, the other times are on the monotonic clock.
    `stopped` is the end of the run once its action was asked to end.
    """

    run: Run
    claim: Claim
    holder: str
    place: str
    started_at: float = 0.0
    begun: float = 0.0
    renewed: float = 0.0
    asked_at: float | None = None
    stopped: Result | None = None
    task: "asyncio.Task[Result] | None" = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """The key of this flight, which differs even between flights of the same run."""
        return f"{self.holder} {self.run.run_id}"

    @property
    def has_ended(self) -> bool:
        """Return whether the action has ended. Its outcome may still wait for Redis."""
        return self.task is not None and self.task.done()

    @property
    def times_out_at(self) -> float:
        return self.begun + self.run.job.timeout

    @property
    def hard_deadline(self) -> float:
        """When its process is killed, unless its event loop still works."""
        asked_at = self.times_out_at if self.asked_at is None else self.asked_at
        return min(asked_at, self.times_out_at) + HARD
