"""Decide about runs whose deadline has passed. Pure, except for the jitter of a retry."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from cron_tasks.jobs.actions import TaskAction, waits_on_loop
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.routing import routing_options
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.counting import LEASE_LOST
from cron_tasks.ledger.records import Outcome, Overdue, split_reason
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.ledger.tick import Due
from cron_tasks.runs.outcomes import (
    conclude,
    conclude_without_job,
    count_earlier_attempts,
    give_up_retry,
)
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.schedules.catchup import late_reason
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable

#: The most attempts of a run whose worker died, if its action may be repeated.
MOST_DELIVERIES = 5
#: The number of repeated messages after which a run that is never too late ends, if workers take
#: them and none claims it. Celery discards each message of a revoked task.
MOST_DISCARDED = 6


@dataclass(slots=True)
class Decisions:
    """The decisions about a page of overdue runs. Pairs are a run id and the state that was seen.

    If the queue of a run in `lost` is empty, its message was lost. In that case, a run that has an
    outcome in `discarded` ends.
    """

    close: list[Outcome] = field(default_factory=list)
    discarded: dict[str, Outcome] = field(default_factory=dict)
    again: list[tuple[RunId, State]] = field(default_factory=list)
    further_attempt: list[tuple[RunId, State]] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    lost: list[Due] = field(default_factory=list)


def decide_overdue(page: Sequence[Overdue], now: float, settings: Settings) -> Decisions:
    """Judge each overdue run by the policies of its job."""
    decisions = Decisions()
    by_time = sorted((tick.run_id for tick in page), key=lambda run_id: run_id.scheduled_for)
    newest = {run_id.job_id: run_id.scheduled_for for run_id in by_time}
    for tick in page:
        job_id, scheduled_for = tick.run_id.job_id, tick.run_id.scheduled_for
        begun = Attempt(tick.attempt, None, now, tick.state.worker)
        by = begun if tick.state.in_flight else count_earlier_attempts(tick, now)
        job = _read_job(tick)
        if job is None:
            removed = Result("skipped", "removed")
            decisions.close.append(conclude_without_job(tick, removed, by, settings))
            continue
        run = Run(job, tick.run_id, scheduled_for, tick.attempt)
        superseded = scheduled_for < newest[job_id]
        if ended := _judge_end(run, tick, now, superseded, settings.misfire_grace):
            outcome = conclude(run, tick, ended, by, settings, random.random())
            if tick.state.kind is Kind.RUNNING:
                outcome.counts += LEASE_LOST
            decisions.close.append(outcome)
            continue
        if tick.state.may_be_late and tick.state.sent_again >= MOST_DISCARDED:
            discarded = give_up_retry(tick, "discarded")
            outcome = conclude(run, tick, discarded, by, settings, random.random())
            decisions.discarded[tick.run_id] = outcome
        pending_again = decisions.further_attempt if tick.state.in_flight else decisions.again
        pending_again.append((tick.run_id, tick.state))
        # A waiting run was not sent yet. The message of any other run may be lost.
        was_sent = tick.state.kind is Kind.PENDING or tick.state.in_flight
        sent = decisions.lost if was_sent else decisions.due
        waits = waits_on_loop(job.action.type)
        sent.append(Due(tick.run_id, job_id, routing_options(job), _is_repeatable(job), waits))
    return decisions


def _read_job(tick: Overdue) -> Job | None:
    """Return the job of a run. None if the job was removed, even if it has come back since."""
    if tick.unwanted == "removed|" and not tick.state.in_flight:
        return None
    try:
        return Job.from_document(tick.document)
    except ValueError:
        return None


def _is_repeatable(job: Job) -> bool:
    """Return whether the action of a job may begin twice. A notification is sent at its end."""
    return job.action.type == "notify"


def _judge_end(
    run: Run, tick: Overdue, now: float, superseded: bool, grace: float
) -> Result | None:
    reason, other = split_reason(tick.unwanted)
    if tick.state.in_flight and not tick.stopped:
        if task_id := tick.state.task_id:
            task = run.job.action.name if isinstance(run.job.action, TaskAction) else task_id
            error = f"no outcome of task {printable(task)} within {run.job.timeout:g} s"
            return Result("failed", error=error, final=bool(reason))
        if _is_repeatable(run.job) and tick.attempt < MOST_DELIVERIES:
            return None
        return Result("failed", error="its worker died", final=bool(reason))
    if reason == "paused":
        return give_up_retry(tick, reason)
    if reason:
        return Result("skipped", reason, other=other)
    if tick.state.kind is not Kind.PENDING or tick.state.may_be_late:
        return None
    if late := late_reason(run.scheduled_for, now, run.job.catchup, grace):
        return Result("missed", late)
    if superseded and now - run.scheduled_for > grace and run.job.catchup.policy == "one":
        return Result("missed", "coalesced")
    return None
