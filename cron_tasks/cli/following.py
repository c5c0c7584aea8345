"""Start runs by hand, and follow runs to their end."""

import time
from collections.abc import Callable
from math import inf, nan
from typing import TYPE_CHECKING, TypeVar, cast

import click

from cron_tasks.cli import console
from cron_tasks.errors import RunUnfit
from cron_tasks.health.failures import describe_failure
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.routing import routing_options
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.runs import queries
from cron_tasks.runs.shapes import Shape
from cron_tasks.runs.wording import describe_outcome
from cron_tasks.schedules.durations import read_duration
from cron_tasks.store import keys
from cron_tasks.text.display import printable, short_repr
from cron_tasks.text.english import join_words

if TYPE_CHECKING:
    from redis import Redis

#: Seconds between two looks at Redis.
LOOK_EVERY = 0.5
#: Fields of a run in a JSON list (docs/contract.md, section 5).
FIELDS = (
    *("run_id", "job_id", "scheduled_for", "status", "reason", "attempt", "started_at"),
    *("finished_at", "duration", "worker", "error", "until", "summary"),
)
#: Seconds after which a run that no worker has taken is explained.
TAKEN_WITHIN = 5.0
#: Workers that this explanation names.
SHOWN = 3
T = TypeVar("T")

wait_option = click.option(
    "--wait", is_flag=True, is_eager=True, help="Wait until the run ends; exit 1 unless it ends ok."
)


def _read_timeout(ctx: click.Context, _: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    if not ctx.params.get("wait"):
        raise click.UsageError("--timeout needs --wait, because it limits the wait")
    try:
        seconds = read_duration(text)
    except ValueError:
        seconds = nan
    if not 0 < seconds < inf:
        raise click.BadParameter(
            f"{short_repr(text)} is not a positive duration, such as 90 (seconds), 30s, 5m or 1h30m"
        )
    return seconds


timeout_option = click.option(
    "--timeout",
    metavar="DURATION",
    callback=_read_timeout,
    help="Stop waiting after this time, with exit code 1: 90 (seconds), 5m. The run continues.",
)


def send_run(job: Job, run_id: str) -> None:
    """Send the message of an open tick. If it is lost, beat sends it again."""
    from cron_tasks.celery import app  # its import takes longer than all the rest

    with console.silence_logs():
        app.send_task(keys.RUN_TASK, [job.id], task_id=run_id, **routing_options(job))


def ask_patiently(ask: Callable[[], T], until: float = inf) -> T:
    """Return the answer of Redis. While Redis is away, wait for it, and print a note once.

    Raise errors that waiting does not fix, and any error after `until`, a time of the monotonic
    clock.
    """
    from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError

    is_announced = False
    while True:
        try:
            return ask()
        except (ConnectionError, TimeoutError) as error:
            if isinstance(error, AuthenticationError) or time.monotonic() >= until:
                raise
            if not is_announced:
                click.echo(f"Waiting for {describe_failure(error)}", err=True)
            is_announced = True
            time.sleep(LOOK_EVERY)


def wait_for_end(
    redis: "Redis",
    run_id: RunId,
    timeout: float = inf,
    explain: Callable[[], str] | None = None,
) -> Shape:
    """Wait until an open run has ended, and return it.

    If no worker has taken the run after a few seconds, print what `explain` returns, once. Raises
    RunUnfit if Redis forgot the run, or if it has not ended after `timeout` seconds.
    """
    began = time.monotonic()
    until = began + timeout
    while state := ask_patiently(lambda: redis.hget(keys.OPEN, run_id), until):
        now = time.monotonic()
        if now >= until:
            raise RunUnfit(
                f"Run {run_id} has not ended within {timeout:g} s, and continues. "
                f"See `cron-tasks runs show {run_id}`"
            )
        is_taken = State.parse(cast("str", state)).kind != Kind.PENDING
        if explain and not is_taken and now >= began + TAKEN_WITHIN:
            click.echo(f"Note: {explain()}", err=True)
            explain = None
        time.sleep(min(LOOK_EVERY / 2, until - now))
    if (run := ask_patiently(lambda: queries.find_last_end(redis, run_id))) is None:
        raise RunUnfit(f"Run {run_id} is no longer open, and Redis has no record of how it ended")
    return run


def explain_not_taken(redis: "Redis", job: Job) -> str:
    """Return which queue a run of the job waits in, and which workers could take it."""
    from cron_tasks.broker.presence import list_workers
    from cron_tasks.celery import app
    from cron_tasks.health.workers import ask_workers

    default = app.conf.task_default_queue
    queue = routing_options(job).get("queue", default)
    with console.silence_logs():
        workers = ask_workers(list_workers(redis, time.time()), lambda: [queue])
    able = [worker.name for worker in workers if worker.is_ours and queue in worker.queues]
    start = "celery -A cron_tasks worker" + (f" -Q {queue}" if queue != default else "")
    if not able:
        return (
            f"No worker has taken the run, because none consumes {queue}. Start one with `{start}`"
        )
    more = [f"{len(able) - SHOWN} more"] if len(able) > SHOWN else []
    named = join_words([*(printable(name, 100) for name in able[:SHOWN]), *more])
    verb, them = ("consumes", "it") if len(able) == 1 else ("consume", "them")
    busy = f"`cron-tasks runs --status running` shows which runs occupy {them}"
    return f"No worker has taken the run yet. {named} {verb} {queue}. {busy}"


def start_run(
    redis: "Redis", job: Job, run_id: RunId, wait: bool, timeout: float | None = None
) -> None:
    """Send an open tick, print its id and, with `wait`, its end. Exits 1 if that is not ok."""
    send_run(job, run_id)
    if not wait:
        console.show({"run_id": run_id, "job_id": job.id}, lambda: click.echo(run_id))
        return
    console.print_text(run_id)
    limit = inf if timeout is None else timeout
    run = wait_for_end(redis, run_id, limit, lambda: explain_not_taken(redis, job))
    console.show(select_fields(run), lambda: click.echo(describe_outcome(run, job.timezone)))
    if run["status"] != "ok":
        click.get_current_context().exit(1)


def select_fields(run: Shape) -> Shape:
    """Return a run as JSON lists show it."""
    return {name: run[name] for name in FIELDS if name in run}
