"""Running ticks on a worker: claim, act, finish."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

import structlog
from redis.exceptions import RedisError

from cron_tasks.actions import Run, action_of
from cron_tasks.by_hand import open_by_hand
from cron_tasks.errors import ActionFailed, CronTasksError
from cron_tasks.interrupts import Stopped, interruptible
from cron_tasks.jobs import Job
from cron_tasks.leases import renewed
from cron_tasks.ledger import LEASE, Claim, Ledger, Outcome
from cron_tasks.outcomes import Attempt, Result, conclude, record
from cron_tasks.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.text import printable
from cron_tasks.ticks import late_reason, parse_run_id

log = structlog.get_logger("cron_tasks.runs")

#: The error of a run is told and kept up to this many characters, on one line.
ERROR_SHOWN = 500
#: Seconds between two attempts to finish while Redis is away.
RETRY_EVERY = 0.5


class Runner:
    """Runs ticks for one worker process.

    Each claim has a holder of its own, so that a repeated message is refused even in the thread
    beside the one that runs its tick.
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        settings: Settings,
        worker: str,
        clock: Callable[[], float],
    ) -> None:
        self.ledger = ledger
        self.registry = registry
        self.settings = settings
        self.worker = worker
        self.clock = clock
        self._claims = count()

    def run(self, run_ids: Sequence[tuple[str, str]]) -> dict[str, Result]:
        """Run those of the (run id, job id) that wait to be run; the result of each by run id."""
        holder = f"{self.worker}#{next(self._claims)}"
        claims = self.ledger.claim(holder, self.clock(), run_ids)
        if not claims:
            return {}
        claimed = [claim.run_id for claim in claims]
        with renewed(lambda: self.ledger.renew(holder, self.clock(), claimed), LEASE / 3):
            outcomes, results = [], {}
            for claim in claims:
                outcome, results[claim.run_id] = self._perform(holder, claim)
                outcomes.append(outcome)
            closed = set(self._finish(outcomes))
        for lost in results.keys() - closed:
            log.warning("run.lease_lost", run_id=lost, status=results.pop(lost).status)
        _log(results)
        return results

    def by_hand(self, job_id: str) -> str:
        """Open a tick of this instant; its run id. Raises UnknownJob, JobDisabled."""
        return open_by_hand(self.ledger, self.registry.job(job_id), self.clock())

    def _finish(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Finish, and wait for a Redis that is away, for as long as the claims may hold."""
        give_up = self.clock() + LEASE
        while True:
            try:
                return self.ledger.finish(self.clock(), outcomes)
            except RedisError:
                if self.clock() > give_up:
                    raise
                time.sleep(RETRY_EVERY)

    def _perform(self, holder: str, claim: Claim) -> tuple[Outcome, Result]:
        job_id, scheduled_for = parse_run_id(claim.run_id) or ("", 0.0)
        started = self.clock()
        try:
            job = Job.from_document(claim.document)
        except ValueError as error:
            removed = Result("skipped", "removed")
            result = Result("failed", error=_one_line(error)) if claim.document else removed
            by = Attempt(claim.attempt, started, started, self.worker)
            line = record(claim.run_id, result, by)
            return Outcome(claim.run_id, job_id, claim.state, line, (), result.status), result
        run = Run(job, claim.run_id, scheduled_for, claim.attempt)
        ended = partial(self._ended, run, claim, started)
        result = self._refusal(run, claim, started) or self._do(run, holder, ended)
        outcome = ended(result)
        return outcome, replace(result, status=outcome.status)

    def _ended(self, run: Run, claim: Claim, started: float, result: Result) -> Outcome:
        by = Attempt(claim.attempt, started, self.clock(), self.worker)
        return conclude(run, claim, result, by, self.settings, random.random())

    def _refusal(self, run: Run, claim: Claim, now: float) -> Result | None:
        """Why a run does not begin."""
        if not run.job.enabled:
            return Result("skipped", "disabled")
        if claim.verdict:
            reason, _, other = claim.verdict.partition("|")
            return Result("skipped", reason, other=other)
        if not claim.may_be_late:
            late = late_reason(run.scheduled_for, now, run.job.catchup, self.settings.misfire_grace)
            return Result("missed", late) if late else None
        return None

    def _do(self, run: Run, holder: str, ended: Callable[[Result], Outcome]) -> Result:
        """Act, for as long as the job's timeout allows and the run is wanted."""
        if run.job.action.type == "notify":
            return self._act(run)
        begun = time.monotonic()
        stopped = Result("failed", error=f"timed out after {run.job.timeout:g} s")

        def look() -> bool:
            nonlocal stopped
            unwanted = self.ledger.renew(holder, self.clock(), [run.run_id])
            if why := unwanted.get(run.run_id):
                reason, _, other = why.partition("|")
                stopped = Result("skipped", reason, other=other or None)
            return bool(why) or time.monotonic() > begun + run.job.timeout

        try:
            with interruptible(look, lambda: self._finish([ended(stopped)])):
                return self._act(run)
        except Stopped:
            return stopped

    def _act(self, run: Run) -> Result:
        try:
            output = action_of(run.job)(run)
        except ActionFailed as error:
            return Result(
                "failed",
                error=_one_line(error),
                output=error.output,
                final=error.permanent,
                retry_after=error.retry_after or 0.0,
            )
        except Exception as error:
            if not isinstance(error, CronTasksError):
                log.exception("run.raised", job_id=run.job.id, run_id=run.run_id)
            return Result("failed", error=_one_line(error))
        return Result("ok", output=output)


def _one_line(error: Exception) -> str:
    return printable(str(error) or type(error).__name__, ERROR_SHOWN)


def _log(results: dict[str, Result]) -> None:
    """A line for each run; of a storm, one for all that went well."""
    for finished, result in results.items():
        if len(results) == 1 or result.status != "ok":
            write = log.info if result.status == "ok" else log.warning
            job_id = finished.rpartition("@")[0]
            write("run.finished", job_id=job_id, run_id=finished, **_said(result))
    if len(results) > 1:
        count = Counter[str](result.status for result in results.values())
        log.info("runs.finished", **count)


def _said(result: Result) -> dict[str, str]:
    said = {"status": result.status, "reason": result.reason, "error": result.error}
    return {name: value for name, value in said.items() if value is not None}
