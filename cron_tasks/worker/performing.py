"""Performs the action of a run, whatever it raises or ignores."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import structlog

from cron_tasks.actions import find_performer
from cron_tasks.errors import ActionFailed, CronTasksError, Stopped, describe_error
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import split_reason
from cron_tasks.runs.result import ERROR_SHOWN, Result
from cron_tasks.settings import Settings
from cron_tasks.text.output import render_output
from cron_tasks.worker.inflight import Posted, Slot
from cron_tasks.worker.interrupts import HARD, interruptible

log = structlog.get_logger("cron_tasks.runs")


@dataclass(frozen=True, slots=True)
class Watched:
    """The watching of an action that may take long.

    `renew` extends its lease and returns the cancel reason, or "". If the action has not ended
    GRACE seconds after it was asked to, `give_up` is called every second with the run's result.
    """

    run: Run
    holder: str
    started_at: float
    slot: Slot | None
    renew: Callable[[], str]
    give_up: Callable[[Result], object]

    def perform(self, settings: Settings) -> Result:
        """Perform the action until it ends, its timeout is over, or the run is cancelled."""
        begun, timeout = time.monotonic(), self.run.job.timeout
        result = end_of_timeout(self.run)
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
        # An action that ignored the request to end has not done its work, whatever it returns.
        return result if action.asked else ended

    def _post(self, result: Result, until: float) -> None:
        if self.slot:
            now = time.monotonic()
            self.slot.post(
                Posted(self.run.run_id, self.holder, self.started_at, result, until, now)
            )


def perform_action(run: Run, settings: Settings) -> Result:
    """Perform the action of a run. Raises only Stopped.

    Any other exception of an action is a failure, including SystemExit, CancelledError and
    KeyboardInterrupt.
    """
    process = os.getpid()
    try:
        output = find_performer(run.job)(run, settings)
    except Stopped:
        raise
    except BaseException as error:
        _end_fork(process, error)
        return end_of_error(run, error)
    _end_fork(process, SystemExit(0))
    return Result("ok", output=cast("str | None", output))


def _end_fork(process: int, error: BaseException) -> None:
    """End this process if the action has forked it from `process`, where the run continues."""
    if os.getpid() != process:
        code = error.code if isinstance(error, SystemExit) else 1
        os._exit(code if isinstance(code, int) else 1)


async def await_action(run: Run, settings: Settings) -> Result:
    """Perform the action of a run that is a coroutine. Raises only CancelledError."""
    process = os.getpid()
    try:
        output = await cast("Awaitable[str | None]", find_performer(run.job)(run, settings))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        _end_fork(process, error)
        return end_of_error(run, error)
    _end_fork(process, SystemExit(0))
    return Result("ok", output=output)


def end_of_error(run: Run, error: BaseException) -> Result:
    """Return the end of a run whose action raised an error. Raises only Stopped."""
    try:
        return _end_of_any_error(run, error)
    except Stopped:
        raise
    except BaseException:
        # Reading a plug-in's error may raise another error.
        return Result("failed", error=f"{type(error).__name__}: it cannot be shown")


def read_result(run: Run, task: "asyncio.Task[Result]") -> Result:
    """Return the result of a task. An action may have cancelled its own task as it returned."""
    try:
        return task.result()
    except BaseException as error:
        return end_of_error(run, error)


def _end_of_any_error(run: Run, error: BaseException) -> Result:
    if isinstance(error, ActionFailed):
        return _end_of_failure(error)
    if not isinstance(error, CronTasksError):
        log.error("run.raised", job_id=run.job.id, run_id=run.run_id, exc_info=error)
    return Result("failed", error=describe_error(error, ERROR_SHOWN))


def _end_of_failure(error: ActionFailed) -> Result:
    return Result(
        "failed",
        error=describe_error(error, ERROR_SHOWN),
        output=render_output(error.output),
        final=bool(error.permanent),
        retry_after=_read_seconds(error.retry_after),
    )


def _read_seconds(value: Any) -> float:
    """Return the `retry_after` of a plug-in in seconds, or 0 if it is not a positive number."""
    usable = isinstance(value, int | float) and value > 0
    return float(min(value, 1e9)) if usable else 0.0


def end_of_timeout(run: Run) -> Result:
    """Return the end of a run whose action took too long."""
    return Result("failed", error=f"timed out after {run.job.timeout:g} s")


def end_of_stop(why: str) -> Result:
    """Return the end of a run for a cancel reason."""
    reason, other = split_reason(why)
    return Result("skipped", reason, other=other)
