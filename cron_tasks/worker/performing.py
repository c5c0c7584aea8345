"""Performing the action of a run: how it ends, whatever it raises or ignores."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from cron_tasks.actions import find_performer
from cron_tasks.errors import ActionFailed, CronTasksError, Stopped, describe_error
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import split_reason
from cron_tasks.runs.outcomes import ERROR_SHOWN, Result
from cron_tasks.settings import Settings
from cron_tasks.store.leases import LOOK_EVERY
from cron_tasks.text.output import render_output
from cron_tasks.worker.inflight import Posted, Slot
from cron_tasks.worker.interrupts import GRACE, interruptible

log = structlog.get_logger("cron_tasks.runs")

#: Seconds from asking an action to end until its process is killed: two looks more than it has.
HARD = GRACE + 2 * LOOK_EVERY


@dataclass(frozen=True, slots=True)
class Watched:
    """What an action that takes its time is watched with.

    `renew` extends its lease and returns why it should end, or "". `give_up` is called every second
    with its result once it has been asked to end and has not, GRACE seconds later.
    """

    run: Run
    holder: str
    started_at: float
    slot: Slot | None
    renew: Callable[[], str]
    give_up: Callable[[Result], object]

    def perform(self, settings: Settings) -> Result:
        """Act for as long as the job's timeout allows and the run is wanted."""
        begun, timeout = time.monotonic(), self.run.job.timeout
        result = Result("failed", error=f"timed out after {timeout:g} s")
        self._post(result, begun + timeout + HARD)

        def look() -> bool:
            nonlocal result
            if time.monotonic() > begun + timeout:
                return True
            why = self.renew()
            until = begun + timeout + HARD
            if why:
                result, until = end_of_stop(why), min(until, time.monotonic() + HARD)
            self._post(result, until)
            return bool(why)

        try:
            with interruptible(look, lambda: self.give_up(result)) as action:
                ended = perform_action(replace(self.run), settings)
        except Stopped:
            return result
        finally:
            if self.slot:
                self.slot.clear()
        # An action that swallowed the request to end has not done its work, whatever it returns.
        return result if action.asked else ended

    def _post(self, result: Result, until: float) -> None:
        if self.slot:
            now = time.monotonic()
            self.slot.post(
                Posted(self.run.run_id, self.holder, self.started_at, result, until, now)
            )


def perform_action(run: Run, settings: Settings) -> Result:
    """Perform the action of a run. Raises Stopped only.

    An action may raise anything: SystemExit, CancelledError and KeyboardInterrupt are failures too.
    """
    try:
        output = find_performer(run.job)(run, settings)
    except Stopped:
        raise
    except ActionFailed as error:
        return _end_of_failure(error)
    except BaseException as error:
        if not isinstance(error, CronTasksError):
            log.exception("run.raised", job_id=run.job.id, run_id=run.run_id)
        return Result("failed", error=describe_error(error, ERROR_SHOWN))
    return Result("ok", output=output)


def _end_of_failure(error: ActionFailed) -> Result:
    return Result(
        "failed",
        error=describe_error(error, ERROR_SHOWN),
        output=render_output(error.output),
        final=bool(error.permanent),
        retry_after=_read_seconds(error.retry_after),
    )


def _read_seconds(value: Any) -> float:
    """Return a plug-in's `retry_after` as a number of seconds; what is not one counts as none."""
    usable = isinstance(value, int | float) and value > 0
    return float(min(value, 1e9)) if usable else 0.0


def end_of_stop(why: str) -> Result:
    """Return how a run ends that is no longer wanted; `why` is "<reason>|<detail>"."""
    reason, other = split_reason(why)
    return Result("skipped", reason, other=other)
