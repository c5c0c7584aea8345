"""Concludes runs that did not end in the process where they began: delegated or killed ones."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from redis.exceptions import RedisError

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.ledger import LEASE, Ledger
from cron_tasks.ledger.open_runs import read_open_run
from cron_tasks.ledger.records import OpenRun, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.outcomes import conclude, conclude_without_job
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings
from cron_tasks.store.client import is_away
from cron_tasks.worker.delegation import Handed
from cron_tasks.worker.inflight import Posted

log = structlog.get_logger("cron_tasks.runs")

#: Seconds between two attempts to finish while Redis is unavailable.
RETRY_EVERY = 0.5
#: Seconds for which an outcome waits for a Redis that is away. Meanwhile no other process can end
#: the run. When Redis is back, beat spares its lease (beat/sweeper.py).
OUTAGE = 300.0
T = TypeVar("T")


class Concluder:
    """Ends runs in the ledger."""

    def __init__(self, ledger: Ledger, settings: Settings, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self.settings = settings
        self.clock = clock

    def end(self, handed: Handed, result: Result, worker: str | None) -> str:
        """Conclude a delegated run, whose task ended on `worker`. Return the outcome as text.

        A run that is no longer in that state is left alone: its task took too long, or the outcome
        came twice.
        """
        run_id = RunId.stored(handed.run_id)
        tick = self.wait_for_redis(lambda: read_open_run(self.ledger.redis, run_id))
        if tick is None or tick.state != handed.state:
            return _log_ignored(handed)
        by = Attempt(tick.attempt, handed.started_at, self.clock(), worker)
        outcome = self._conclude(tick, result, by)
        if not self._finish([outcome]):
            return _log_ignored(handed)
        took = self.clock() - handed.started_at
        log_ended({tick.run_id: replace(result, status=outcome.status, duration=took)})
        return outcome.status

    def renew(self, posted: Posted) -> str:
        """Renew the leases of a process that does not renew them. Return the posted run's cancel
        reason."""
        self.ledger.renew_all(posted.holder.rpartition("#")[0], self.clock())
        renewed = self.ledger.renew(posted.holder, self.clock(), [posted.run_id])
        return renewed.get(posted.run_id, "")

    def conclude_killed(self, posted: Posted) -> None:
        """Conclude the run of a killed process, unless another holder has the run.

        Raises RedisError.
        """
        tick = read_open_run(self.ledger.redis, RunId.stored(posted.run_id))
        if tick and tick.state.holder == posted.holder:
            worker = posted.holder.rpartition("#")[0]
            by = Attempt(tick.attempt, posted.started_at, self.clock(), worker)
            outcome = self._conclude(tick, posted.result, by)
            if self.ledger.finish(self.clock(), [outcome]):
                log_ended({tick.run_id: replace(posted.result, status=outcome.status)})

    def _conclude(self, tick: OpenRun, result: Result, by: Attempt) -> Outcome:
        """Return the outcome of an attempt that did not end in the process where it began."""
        try:
            job = Job.from_document(tick.document)
        except ValueError:
            return conclude_without_job(tick, result, by, self.settings)
        run = Run(job, tick.run_id, tick.run_id.scheduled_for, tick.attempt)
        return conclude(run, tick, result, by, self.settings, random.random())

    def _finish(self, outcomes: Sequence[Outcome]) -> list[RunId]:
        return self.wait_for_redis(lambda: self.ledger.finish(self.clock(), outcomes))

    def wait_for_redis(self, step: Callable[[], T]) -> T:
        """Repeat a step while Redis is unavailable. Raises RedisError if it lasts too long."""
        begun = time.monotonic()
        while True:
            try:
                return step()
            except RedisError as error:
                if time.monotonic() > begun + patience_with(error):
                    raise
                time.sleep(RETRY_EVERY)


def patience_with(error: RedisError) -> float:
    """Return for how many seconds a step is repeated that fails with an error."""
    return OUTAGE if is_away(error) else LEASE


def _log_ignored(handed: Handed) -> str:
    log.info("run.outcome_ignored", run_id=handed.run_id, why="it was no longer waited for")
    return "was no longer waiting"


def log_ended(results: dict[RunId, Result]) -> None:
    """Log a line for each run. Several runs that ended ok share one line."""
    for run_id, result in results.items():
        if len(results) == 1 or result.status != "ok":
            write = log.info if result.status == "ok" else log.warning
            write("run.finished", job_id=run_id.job_id, run_id=run_id, **_log_fields(result))
    if len(results) > 1:
        count = Counter[str](result.status for result in results.values())
        log.info("runs.finished", **count)


def log_ok(runs: int) -> None:
    """Log a line for the runs of a batch, which ended ok."""
    if runs:
        log.info("runs.finished", ok=runs)


def _log_fields(result: Result) -> dict[str, Any]:
    took = None if result.duration is None else round(result.duration, 6)
    said = {
        "status": result.status,
        "reason": result.reason,
        "error": result.error,
        "duration": took,
    }
    return {name: value for name, value in said.items() if value is not None}
