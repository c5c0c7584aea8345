"""The actions of people on the pages: on one job or run, or on all that a filter selects."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from cron_tasks.audit.backfill import lock_backfills, must_run_in_turn, plan_backfill
from cron_tasks.errors import CronTasksError, RunUnfit, UnknownJob
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.routing import routing_options
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.pages.context import Context
from cron_tasks.pages.index import select
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import commands, pausing
from cron_tasks.schedules.human import parse_moment
from cron_tasks.store import keys
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of

#: The most runs that one action starts, and the most ticks of a backfill that run in turn.
MOST_RUNS, MOST_IN_TURN = 1000, 100


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a person. `ids` are jobs, or runs if the action is about runs.

    `every` means all jobs that the filter selects (`query`, `tag`, `state`), or that fail for
    `cause`.
    """

    action: str
    ids: Sequence[str] = ()
    every: bool = False
    query: str = ""
    tag: str = ""
    state: str = ""
    cause: str = ""
    reason: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The affected ids of an action, as a sentence. `left` names the others, with the reasons."""

    text: str
    ids: Sequence[str] = ()
    left: Sequence[str] = field(default=())
    detail: str = ""


def find_targets(context: Context, request: Request) -> list[str]:
    """Return the ids of a request: of runs for `retry` and `cancel`, otherwise of jobs.

    Raises CronTasksError if there is no such action.
    """
    if request.action not in ACTIONS:
        raise CronTasksError(f"There is no action {printable(request.action, 40)}")
    if not request.every:
        return list(dict.fromkeys(request.ids))
    if request.action == "recover":
        audit = context.survey.get().audit
        return [text for text in (audit.tally.lost if audit else ()) if RunId.parse(text)]
    if request.cause:
        causes = {cause.text: cause.job_ids for cause in context.health().causes}
        job_ids = list(causes.get(request.cause, ()))
    else:
        ids = context.ids_in_state(request.state)
        found = select(context.index.get(), request.query, request.tag, request.state, ids)
        job_ids = [job.id for job in found]
    return _failed_runs_of(context, set(job_ids)) if request.action == "retry" else job_ids


def _failed_runs_of(context: Context, job_ids: set[str]) -> list[str]:
    """Return the failed runs of these jobs that no rerun has ended ok, oldest first."""
    failed = map(RunId.stored, cast("list[str]", context.redis.zrange(keys.FAILED, 0, -1)))
    return [run_id for run_id in failed if run_id.job_id in job_ids]


def perform(context: Context, request: Request, targets: Sequence[str]) -> Done:
    """Perform the action of a request. Raises CronTasksError if it is impossible."""
    if not targets:
        raise CronTasksError("Nothing was selected, so nothing was done")
    outcome = ACTIONS[request.action](context, request, targets)
    context.index.refresh({RunId.stored(each).job_id or each for each in outcome.ids})
    context.forget_health()
    return outcome


def _pause(context: Context, request: Request, targets: Sequence[str]) -> Done:
    if not (reason := pausing.clean_reason(request.reason)):
        raise CronTasksError("Give a reason, which is shown wherever the job is shown")
    if len(targets) == 1:
        pausing.pause_job(context.redis, context.settings, targets[0], reason, time.time())
        return Done(f"Job {targets[0]} is paused: {reason}", targets, detail=reason)
    done = pausing.pause_jobs(context.redis, context.settings, targets, reason, time.time())
    return Done(f"{number_of(len(done), 'job')} paused: {reason}", done, detail=reason)


def _resume(context: Context, _: Request, targets: Sequence[str]) -> Done:
    registry = Registry(context.redis, context.settings.audit_days)
    return _each(targets, "job", "resumed", lambda each: registry.resume(each, time.time()))


def _run(context: Context, _: Request, targets: Sequence[str]) -> Done:
    ledger, registry = Ledger(context.redis, context.settings), Registry(context.redis)

    def start(job_id: str) -> None:
        job = registry.get_job(job_id)
        _send(job, commands.open_by_hand(ledger, job, time.time()))

    return _each(_at_most(targets), "job", "started", start)


def _skip(context: Context, _: Request, targets: Sequence[str]) -> Done:
    def skip(job_id: str) -> None:
        pausing.skip_next(context.redis, context.settings, job_id, time.time())

    return _each(targets, "job", "will skip the next tick", skip)


def _undo_skip(context: Context, _: Request, targets: Sequence[str]) -> Done:
    def undo(job_id: str) -> None:
        pausing.undo_skip(context.redis, context.settings, job_id, time.time())

    return _each(targets, "job", "will run the skipped tick", undo)


def _retry(context: Context, _: Request, targets: Sequence[str]) -> Done:
    ledger = Ledger(context.redis, context.settings)

    def retry(text: str) -> None:
        run_id, job = commands.reopen(context.redis, ledger, text, time.time())
        _send(job, run_id)

    return _each(_at_most(targets), "run", "retried", retry)


def _cancel(context: Context, _: Request, targets: Sequence[str]) -> Done:
    ledger = Ledger(context.redis, context.settings)

    def cancel(text: str) -> None:
        commands.cancel(context.redis, ledger, text, time.time(), context.settings)

    return _each(targets, "run", "cancelled, or asked to stop", cancel)


def _backfill(context: Context, request: Request, targets: Sequence[str]) -> Done:
    """Run the missing ticks of one job from `start` to `end`."""
    job, now = Registry(context.redis).get_job(targets[0]), time.time()
    try:
        first, last = (
            parse_moment(text, job.timezone, datetime.fromtimestamp(now, UTC)).timestamp()
            for text in (request.start, request.end or "0s")
        )
    except ValueError as error:
        raise CronTasksError(f"{error}. Examples: 2h (ago), 1d, 2026-11-23T09:00") from None
    if last < first:
        raise CronTasksError("The end of the period is before its start")
    with lock_backfills(context.redis, job.id):
        found = plan_backfill(context.redis, job, first, last, now)
        if must_run_in_turn(job) and len(found.missing) > MOST_IN_TURN:
            ticks = number_of(len(found.missing), "tick")
            command = f"`cron-tasks backfill {job.id} --from … --to …`"
            raise CronTasksError(f"{ticks} would run one after the other: use {command}")
        opened = found.open_all(Ledger(context.redis, context.settings), now)
    parts = [f"{number_of(len(opened), 'tick')} of job {job.id} will run", f"{found.ok:,} ran ok"]
    parts += [f"{found.unsure:,} left alone, as it is unsure whether they ran"] * bool(found.unsure)
    span = f"{request.start} to {request.end or 'now'}"
    return Done(", ".join(parts), [job.id], detail=span)


def _recover(context: Context, _: Request, targets: Sequence[str]) -> Done:
    """Run the ticks that an audit found to be lost."""
    ledger, registry = Ledger(context.redis, context.settings), Registry(context.redis)

    def recover(text: str) -> None:
        run_id = RunId.stored(text)
        job, when, now = registry.get_job(run_id.job_id), run_id.scheduled_for, time.time()
        with lock_backfills(context.redis, job.id):
            plan_backfill(context.redis, job, when, when, now).open_all(ledger, now)

    outcome = _each(_at_most(targets), "lost tick", "will run", recover)
    context.survey.renew()
    return outcome


def _each(targets: Sequence[str], noun: str, done: str, act: Callable[[str], object]) -> Done:
    """Perform the same action on each target. A target that fails does not stop the others."""
    ids, left = [], []
    for each in targets:
        try:
            act(each)
            ids.append(each)
        except (UnknownJob, RunUnfit, CronTasksError) as error:
            left.append(str(error))
    if not ids and left:
        raise CronTasksError(left[0] + (f" (and {len(left) - 1:,} more)" if left[1:] else ""))
    name = f"{noun.capitalize()} {ids[0]}" if len(ids) == 1 else number_of(len(ids), noun)
    were = "was" if len(left) == 1 else "were"
    rest = f". {len(left):,} {were} left out: {left[0]}" if left else ""
    return Done(f"{name}: {done}{rest}", ids, left)


def _at_most(targets: Sequence[str]) -> Sequence[str]:
    if len(targets) > MOST_RUNS:
        raise CronTasksError(
            f"{len(targets):,} runs are too many for one action. Narrow the filter to at most "
            f"{MOST_RUNS:,}"
        )
    return targets


def _send(job: Job, run_id: RunId) -> None:
    """Send the message of an open run. If it is lost, beat sends it again."""
    from cron_tasks.celery import app  # That module imports this package.

    with suppress(OSError):
        app.send_task(keys.RUN_TASK, [job.id], task_id=run_id, **routing_options(job))


ACTIONS: dict[str, Callable[[Context, Request, Sequence[str]], Done]] = {
    "pause": _pause,
    "resume": _resume,
    "run": _run,
    "skip": _skip,
    "undo skip": _undo_skip,
    "retry": _retry,
    "cancel": _cancel,
    "backfill": _backfill,
    "recover": _recover,
}
#: The text of each action in the question before it is performed on many targets.
VERBS = {
    "pause": "Pause",
    "resume": "Resume",
    "run": "Run now",
    "skip": "Skip the next tick of",
    "undo skip": "Undo the skip of",
    "retry": "Retry",
    "cancel": "Cancel",
    "recover": "Run",
}
