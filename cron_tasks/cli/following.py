"""Start runs by hand, and follow runs to their end."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from cron_tasks.cli import console
from cron_tasks.errors import RunUnfit
from cron_tasks.health.failures import describe_failure
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.routing import routing_options
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.schedules.human import format_runtime
from cron_tasks.store import keys
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from redis import Redis

#: Seconds between two looks at Redis.
LOOK_EVERY = 0.5
#: Fields of a run in a JSON list (docs/contract.md, section 5), and the end of a missed range.
FIELDS = (
    *("run_id", "job_id", "scheduled_for", "status", "reason", "attempt", "started_at"),
    *("finished_at", "duration", "worker", "error", "until"),
)
T = TypeVar("T")

wait_option = click.option(
    "--wait", is_flag=True, help="Wait until the run ends; exit 1 unless it ends ok."
)


def send_run(job: Job, run_id: str) -> None:
    """Send the message of an open tick. If it is lost, beat sends it again."""
    from cron_tasks.celery import app  # its import takes longer than all the rest

    with console.silence_logs():
        app.send_task(keys.RUN_TASK, [job.id], task_id=run_id, **routing_options(job))


def ask_patiently(ask: Callable[[], T]) -> T:
    """Return what Redis answers. While it is away, wait for it and print so once."""
    from redis.exceptions import ConnectionError, TimeoutError

    is_announced = False
    while True:
        try:
            return ask()
        except (ConnectionError, TimeoutError) as error:
            if not is_announced:
                click.echo(f"Waiting for {describe_failure(error)}", err=True)
            is_announced = True
            time.sleep(LOOK_EVERY)


def wait_for_end(redis: "Redis", run_id: RunId) -> queries.Shape:
    """Wait until an open run has ended, and return it. Raises RunUnfit if Redis forgot it."""
    while ask_patiently(lambda: redis.hexists(keys.OPEN, run_id)):
        time.sleep(LOOK_EVERY / 2)
    if (run := ask_patiently(lambda: queries.find_last_end(redis, run_id))) is None:
        raise RunUnfit(f"Run {run_id} is no longer open, and Redis has no record of how it ended")
    return run


def start_run(redis: "Redis", job: Job, run_id: RunId, wait: bool) -> None:
    """Send an open tick, print its id and, with `wait`, its end. Exits 1 if that is not ok."""
    send_run(job, run_id)
    if not wait:
        console.show({"run_id": run_id, "job_id": job.id}, lambda: click.echo(run_id))
        return
    console.print_text(run_id)
    run = wait_for_end(redis, run_id)
    console.show(select_fields(run), lambda: click.echo(describe_outcome(run)))
    if run["status"] != "ok":
        click.get_current_context().exit(1)


def select_fields(run: queries.Shape) -> queries.Shape:
    """Return a run as JSON lists show it."""
    return {name: run[name] for name in FIELDS if name in run}


def describe_outcome(run: queries.Shape) -> str:
    """Return how a run ended: `failed after 2.5 s at attempt 2: HTTP 500`."""
    after = f" after {format_runtime(run['duration'])}" if run["duration"] is not None else ""
    number = f" at attempt {run['attempt']}" if (run["attempt"] or 0) > 1 else ""
    reason = describe_reason(run)
    return str(run["status"]) + after + number + (f": {reason}" if reason else "")


def describe_reason(run: queries.Shape) -> str:
    """Return reason and error of a run, the run in its way, and the last tick missed with it."""
    about = f" ({run['other']})" if run.get("other") else ""
    about += f" (all ticks until {run['until']})" if "until" in run else ""
    about += f" (next attempt at {run['retry_at'][:19]}Z)" if run.get("retry_at") else ""
    text = ": ".join(each for each in (run["reason"], run["error"]) if each)
    return printable(text + about, 200)
