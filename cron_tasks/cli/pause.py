"""`cron-tasks jobs pause`, `resume` and `skip-next`."""

import time

import click
from redis import Redis

from cron_tasks.cli import console
from cron_tasks.errors import CronTasksError
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry import skips
from cron_tasks.registry.registry import RegisteredJob
from cron_tasks.runs.overtaken import list_overtaken
from cron_tasks.schedules.human import format_local
from cron_tasks.settings import load
from cron_tasks.text.display import printable

#: Most characters of a reason. A longer one is cut.
MAX_REASON = 200


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--reason", required=True, help="Shown wherever the job is shown.")
@console.json_option
def pause(job_id: str, reason: str) -> None:
    """Pause a job until it is resumed.

    A run that is running goes on to its end. A run that waits for a worker is skipped, and a run
    that waits for a further attempt fails. A pause survives every sync, and ends when the job is
    removed.
    """
    now, reason = time.time(), printable(reason.strip(), MAX_REASON)
    with console.open_redis() as redis:
        overtaken = console.open_registry(redis).pause(job_id, reason, now)
        ledger = console.open_ledger(redis)
        list_overtaken(ledger, load(), overtaken, "paused", now)
        ledger.look_after({job_id}, now)
    console.show(
        {"id": job_id, "paused": {"reason": reason, "since": format_local(now)}},
        lambda: click.echo(f"Job {job_id} is paused: {reason}"),
    )


@click.command()
@click.argument("job_id", metavar="ID")
@console.json_option
def resume(job_id: str) -> None:
    """End the pause of a job. It fires at its next tick, and catches up on none before."""
    now = time.time()
    with console.open_redis() as redis:
        registry = console.open_registry(redis)
        was_paused = registry.resume(job_id, now)
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
        registry = console.open_registry(redis)
        registry.get_job(job_id)
        skips.adopt_skips(redis, job_id, now)
        (found,) = registry.read_jobs([job_id])
        tick = _undo_skip(redis, found, now) if undo else _skip(redis, found, now)
        (found,) = registry.read_jobs([job_id])
    name = RunId(job_id, tick)
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


def _skip(redis: Redis, found: RegisteredJob, now: float) -> float:
    """Skip the next tick of a job and return it. Raises CronTasksError if there is none."""
    job_id, tick = found.job.id, found.next
    if not found.job.enabled:
        enable = "Set `enabled: true` in your REST service"
        raise CronTasksError(f"Job {job_id} is disabled. {enable}")
    if found.paused:
        resume = f"Resume it first: `cron-tasks jobs resume {job_id}`"
        raise CronTasksError(
            f"Job {job_id} is paused ({printable(found.paused.reason, 60)}). {resume}"
        )
    if tick is None:
        raise CronTasksError(f"Job {job_id} has no next tick to skip")
    if not skips.add_skip(redis, job_id, tick, now, _has_reports()):
        raise CronTasksError(f"{RunId(job_id, tick)} fired just now, so it was not skipped")
    return tick


def _undo_skip(redis: Redis, found: RegisteredJob, now: float) -> float:
    """Undo the nearest skip of a job and return its tick. Raises CronTasksError."""
    job_id, coming = found.job.id, found.coming_skips(now)
    if not coming:
        raise CronTasksError(f"Job {job_id} has no coming tick that is to be skipped")
    if not skips.remove_skip(redis, job_id, coming[0], now, _has_reports()):
        raise CronTasksError(
            f"{RunId(job_id, coming[0])} was skipped just now. It is too late to undo that"
        )
    return coming[0]


def _has_reports() -> bool:
    """Return whether outcomes are reported to the REST service."""
    return bool(load().rest_report_path)
