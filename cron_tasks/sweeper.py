"""Looking after ticks whose deadline has passed: a lost message, a dead worker, a backlog.

A pending tick is sent again only when its queue is empty: as long as messages wait there, workers
are slow or gone, and more messages would help nobody.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from cron_tasks.action_types import TaskAction
from cron_tasks.actions import Run
from cron_tasks.due import Due
from cron_tasks.jobs import Job
from cron_tasks.ledger import Ledger
from cron_tasks.ledger_ticks import TASK, Outcome, Overdue
from cron_tasks.outcomes import (
    Attempt,
    Result,
    conclude,
    conclude_without_job,
    given_up,
    not_begun,
)
from cron_tasks.registry import routing
from cron_tasks.settings import Settings
from cron_tasks.text import printable
from cron_tasks.ticks import late_reason, parse_run_id

log = structlog.get_logger("cron_tasks.beat")

#: Overdue ticks looked after in one go.
PAGE = 500
#: A run whose worker died is begun again at most this often where that cannot do harm.
MOST_DELIVERIES = 5
#: A run that would wait for ever ends when workers took so many further messages of it, and none
#: claimed it: Celery discards each message of a task that was revoked.
MOST_DISCARDED = 6


@dataclass(slots=True)
class Decisions:
    """What becomes of a page of overdue ticks; the pairs are (run id, state seen).

    `lost` are those whose message got lost if their queue is empty. Then those of them end that
    have an outcome in `discarded`, by run id.
    """

    close: list[Outcome] = field(default_factory=list)
    discarded: dict[str, Outcome] = field(default_factory=dict)
    again: list[tuple[str, str]] = field(default_factory=list)
    further_attempt: list[tuple[str, str]] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    lost: list[Due] = field(default_factory=list)


def sweep(
    ledger: Ledger,
    now: float,
    settings: Settings,
    waiting: Callable[[str | None], int],
    publish: Callable[[Sequence[Due]], None],
    revoke: Callable[[Sequence[str]], None],
) -> bool:
    """Look after one page of overdue ticks; whether there may be more."""
    page = ledger.overdue(now, PAGE)
    if not page:
        return False
    left = _left_to_tasks(page, waiting, revoke)
    for tick in left:
        ledger.renew(TASK + (tick.task_id or ""), now, [tick.run_id])
    decisions = decide([tick for tick in page if tick not in left], now, settings)
    queues = {tick.options.get("queue") for tick in decisions.lost}
    idle = {queue for queue in queues if not waiting(queue)}
    lost = [tick for tick in decisions.lost if tick.options.get("queue") in idle]
    decisions.close += [end for tick in lost if (end := decisions.discarded.get(tick.run_id))]
    lost = [tick for tick in lost if tick.run_id not in decisions.discarded]
    ledger.finish(now, decisions.close)
    closed = {outcome.run_id for outcome in decisions.close}
    again = {run_id: state for run_id, state in decisions.again if run_id not in closed}
    sent = [(tick.run_id, again.pop(tick.run_id)) for tick in lost if tick.run_id in again]
    ledger.hand_back(now, list(again.items()))
    ledger.hand_back(now, decisions.further_attempt, attempt_more=True)
    publish([*decisions.due, *lost])
    # Counted afterwards, since what could not be sent was not discarded.
    ledger.hand_back(now, sent, sent_again=True)
    _log(decisions, len(lost))
    return len(page) == PAGE


def _left_to_tasks(
    page: Sequence[Overdue],
    waiting: Callable[[str | None], int],
    revoke: Callable[[Sequence[str]], None],
) -> list[Overdue]:
    """End the tasks that runs were handed over to; those whose outcome may wait in our queue."""
    task_ids = [tick.task_id for tick in page if tick.task_id]
    if not task_ids:
        return []
    revoke(task_ids)
    return [tick for tick in page if tick.task_id and not tick.stopped] if waiting(None) else []


def decide(page: Sequence[Overdue], now: float, settings: Settings) -> Decisions:
    """Judge each overdue tick by its job's policies; only the jitter of a retry is random."""
    decisions = Decisions()
    ticks = [(tick, *(parse_run_id(tick.run_id) or ("", 0.0))) for tick in page]
    newest = {job_id: when for _, job_id, when in sorted(ticks, key=lambda each: each[2])}
    for tick, job_id, scheduled_for in ticks:
        begun = Attempt(tick.attempt, None, now, tick.worker)
        by = begun if tick.running else not_begun(tick, now)
        job = _job_of(tick)
        if job is None:
            removed = Result("skipped", "removed")
            decisions.close.append(conclude_without_job(tick, removed, by, settings))
            continue
        run = Run(job, tick.run_id, scheduled_for, tick.attempt)
        superseded = scheduled_for < newest[job_id]
        if ended := _ended(run, tick, now, superseded, settings.misfire_grace):
            outcome = conclude(run, tick, ended, by, settings, random.random())
            decisions.close.append(outcome)
            continue
        if tick.may_be_late and tick.sent_again >= MOST_DISCARDED:
            discarded = given_up(tick, "discarded")
            outcome = conclude(run, tick, discarded, by, settings, random.random())
            decisions.discarded[tick.run_id] = outcome
        pending_again = decisions.further_attempt if tick.running else decisions.again
        pending_again.append((tick.run_id, tick.state))
        # What waited has never been sent; what is pending or ran was, and its message got lost.
        sent = decisions.lost if tick.state[0] in "pr" else decisions.due
        sent.append(Due(tick.run_id, job_id, routing(job), _harmless(job)))
    return decisions


def _job_of(tick: Overdue) -> Job | None:
    """Return the job of a tick; None when it was removed, even if it has come back since."""
    if tick.unwanted == "removed|" and not tick.running:
        return None
    try:
        return Job.from_document(tick.document)
    except ValueError:
        return None


def _harmless(job: Job) -> bool:
    """Whether beginning the job's action again does nothing twice."""
    return job.action.type == "notify"


def _ended(run: Run, tick: Overdue, now: float, superseded: bool, grace: float) -> Result | None:
    reason, _, other = tick.unwanted.partition("|")
    if tick.running and not tick.stopped:
        if tick.task_id:
            task = run.job.action.name if isinstance(run.job.action, TaskAction) else tick.task_id
            error = f"no outcome of task {printable(task)} within {run.job.timeout:g} s"
            return Result("failed", error=error, final=bool(reason))
        if _harmless(run.job) and tick.attempt < MOST_DELIVERIES:
            return None
        return Result("failed", error="its worker died", final=bool(reason))
    if reason == "paused":
        return given_up(tick, reason)
    if reason:
        return Result("skipped", reason, other=other or None)
    if tick.state[0] != "p" or tick.may_be_late:
        return None
    if late := late_reason(run.scheduled_for, now, run.job.catchup, grace):
        return Result("missed", late)
    if superseded and now - run.scheduled_for > grace and run.job.catchup.policy == "one":
        return Result("missed", "coalesced")
    return None


def _log(decisions: Decisions, sent_again: int) -> None:
    """Retries that are due, and runs asked for by hand, are nothing to warn of."""
    closed = {outcome.run_id for outcome in decisions.close}
    about = {
        "closed": len(decisions.close),
        "sent_again": sent_again,
        "left_waiting": sum(tick.run_id not in closed for tick in decisions.lost) - sent_again,
        "worker_died": len(decisions.further_attempt),
    }
    if any(about.values()):
        write = log.warning if decisions.close or decisions.further_attempt else log.info
        write("sweep.done", **about)
