"""Sending a run's message by hand, and following what becomes of runs."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from cron_tasks.cli import console
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.routing import routing
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.schedules.human import format_runtime
from cron_tasks.store import names
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from redis import Redis

#: Seconds between two looks.
LOOK_EVERY = 0.5
#: What `--json` tells of a run in a list: the contract's fields, and the end of a missed range.
FIELDS = (
    *("run_id", "job_id", "scheduled_for", "status", "reason", "attempt", "started_at"),
    *("finished_at", "duration", "worker", "error", "until"),
)
T = TypeVar("T")

wait_option = click.option(
    "--wait", is_flag=True, help="Follow the run to its end; exit 1 unless that is ok."
)


def send(job: Job, run_id: str) -> None:
    """Send the message of an open tick; one that is lost is sent again by beat."""
    from cron_tasks.celery import app  # takes longer than all the rest

    with console.no_log_lines():
        app.send_task(names.RUN_TASK, [job.id], task_id=run_id, **routing(job))


def patiently(ask: Callable[[], T]) -> T:
    """What Redis answers; one that is away is waited for, which is said once."""
    from redis.exceptions import ConnectionError, TimeoutError

    said = False
    while True:
        try:
            return ask()
        except (ConnectionError, TimeoutError) as error:
            if not said:
                click.echo(f"Waiting for {console.sentence(error)}", err=True)
            said = True
            time.sleep(LOOK_EVERY)


def wait_for(redis: "Redis", run_id: RunId) -> queries.Shape:
    """How an open run ended, once it has. Raises RunUnfit when Redis has forgotten it."""
    while patiently(lambda: redis.hexists(names.OPEN, run_id)):
        time.sleep(LOOK_EVERY / 2)
    if (run := patiently(lambda: queries.last_end(redis, run_id))) is None:
        raise RunUnfit(f"run {run_id} is no longer open, and nothing is known of its end")
    return run


def begin(redis: "Redis", job: Job, run_id: RunId, wait: bool, as_json: bool) -> None:
    """Send an open tick, print its id and, with `wait`, its end. Exits 1 if that is not ok."""
    send(job, run_id)
    if not as_json:
        click.echo(run_id)
    elif not wait:
        console.print_json({"run_id": run_id, "job_id": job.id})
    if wait:
        run = wait_for(redis, run_id)
        if as_json:
            console.print_json(listed(run))
        else:
            click.echo(outcome(run))
        if run["status"] != "ok":
            click.get_current_context().exit(1)


def listed(run: queries.Shape) -> queries.Shape:
    """A run as in a list."""
    return {name: run[name] for name in FIELDS if name in run}


def outcome(run: queries.Shape) -> str:
    """`failed after 2.5 s at attempt 2: HTTP 500`"""
    after = f" after {format_runtime(run['duration'])}" if run["duration"] is not None else ""
    number = f" at attempt {run['attempt']}" if (run["attempt"] or 0) > 1 else ""
    return str(run["status"]) + after + number + (f": {why(run)}" if why(run) else "")


def why(run: queries.Shape) -> str:
    """Reason or error of a run, the run that was in its way, and the last tick missed with it."""
    about = f" ({run['other']})" if run.get("other") else ""
    about += f" until {run['until']}" if "until" in run else ""
    about += f" (next attempt at {run['retry_at'][:19]}Z)" if run.get("retry_at") else ""
    text = ": ".join(each for each in (run["reason"], run["error"]) if each)
    return printable(text + about, 200)
