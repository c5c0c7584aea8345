"""`cron-tasks jobs pause`, `resume` and `skip-next`."""

import time

import click

from cron_tasks.cli import console
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import RegisteredJob
from cron_tasks.runs import pausing
from cron_tasks.runs.pausing import clean_reason, pause_job, undo_skip
from cron_tasks.schedules.human import format_local
from cron_tasks.settings import load


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--reason", required=True, help="Shown wherever the job is shown.")
@console.json_option
def pause(job_id: str, reason: str) -> None:
    """Pause a job until it is resumed.

    A running run continues to its end. A run that waits for a worker is skipped, and a run that
    waits for its next attempt fails. A pause survives every sync, and ends when the job is removed.
    """
    now, reason = time.time(), clean_reason(reason)
    with console.open_redis() as redis:
        pause_job(redis, load(), job_id, reason, now)
        console.record_action(redis, "pause", job_id, reason)
    console.show(
        {"id": job_id, "paused": {"reason": reason, "since": format_local(now)}},
        lambda: click.echo(f"Job {job_id} is paused: {reason}"),
    )


@click.command()
@click.argument("job_id", metavar="ID")
@console.json_option
def resume(job_id: str) -> None:
    """End the pause of a job. It fires at its next tick, and does not catch up on earlier ticks."""
    now = time.time()
    with console.open_redis() as redis:
        registry = console.open_registry(redis)
        was_paused = registry.resume(job_id, now)
        console.record_action(redis, "resume", job_id)
        (found,) = registry.read_jobs([job_id])
    upcoming = format_local(found.next, console.shown_zone(found.job.timezone))
    resumed = "is resumed" if was_paused else "was not paused"
    console.show(
        {"id": job_id, "was_paused": was_paused, "next": upcoming},
        lambda: click.echo(f"Job {job_id} {resumed}. {_describe_next(found)}"),
    )


@click.command("skip-next")
@click.argument("job_id", metavar="ID")
@click.option("--undo", is_flag=True, help="Run the nearest skipped tick after all.")
@console.json_option
def skip_next(job_id: str, undo: bool) -> None:
    """Skip the next tick of a job. The tick after it fires as usual.

    Called again, it skips the tick after that. An edit or a pause of the job does not undo a skip.
    """
    now = time.time()
    with console.open_redis() as redis:
        tick = (undo_skip if undo else pausing.skip_next)(redis, load(), job_id, now)
        name = RunId(job_id, tick)
        console.record_action(redis, "undo skip" if undo else "skip", name)
        (found,) = console.open_registry(redis).read_jobs([job_id])
    upcoming = format_local(found.next, console.shown_zone(found.job.timezone))
    done, will = ("undone", "is no longer skipped") if undo else ("skipped", "will be skipped")
    console.show(
        {"id": job_id, done: name, "next": upcoming},
        lambda: click.echo(f"{name} {will}. {_describe_next(found)}"),
    )


def _describe_next(found: RegisteredJob) -> str:
    """Return a sentence that names the next tick that will run, or why there is none."""
    if found.next is None and not found.job.enabled:
        return "Next tick: never, because the job is disabled"
    if found.next is None and found.paused:
        return "Next tick: never, because the job is paused"
    return f"Next tick: {format_local(found.next, found.job.timezone) or 'never'}"
