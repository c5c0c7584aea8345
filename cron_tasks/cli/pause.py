"""`cron-tasks jobs pause`, `resume` and `skip-next`: a person's word over the schedule's."""

import time

import click
from redis import Redis

from cron_tasks.cli import console
from cron_tasks.errors import CronTasksError
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry import skips
from cron_tasks.registry.registry import Registered
from cron_tasks.runs.overtaken import tell_overtaken
from cron_tasks.schedules.human import format_local
from cron_tasks.settings import load
from cron_tasks.text.display import printable

#: Longest reason that is kept.
REASON_KEPT = 200


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--reason", required=True, help="Why; shown wherever the job is shown.")
@console.json_option
def pause(job_id: str, reason: str, as_json: bool) -> None:
    """Let a job rest until it is resumed; what runs goes on to its end.

    What waits for a worker is skipped, what waits for a further attempt has failed. A pause
    survives every sync; it ends with the job.
    """
    now, reason = time.time(), printable(reason.strip(), REASON_KEPT)
    with console.open_redis() as redis:
        overtaken = console.open_registry(redis).pause(job_id, reason, now)
        ledger = console.open_ledger(redis)
        tell_overtaken(ledger, load(), overtaken, "paused", now)
        ledger.look_after({job_id}, now)
    if as_json:
        console.print_json({"id": job_id, "paused": {"reason": reason, "since": format_local(now)}})
    else:
        click.echo(f"{job_id} is paused: {reason}")


@click.command()
@click.argument("job_id", metavar="ID")
@console.json_option
def resume(job_id: str, as_json: bool) -> None:
    """End the pause of a job; it fires at its next tick, and none is made up for."""
    now = time.time()
    with console.open_redis() as redis:
        registry = console.open_registry(redis)
        was_paused = registry.resume(job_id, now)
        (found,) = registry.registered([job_id])
    upcoming = format_local(found.next, found.job.timezone)
    if as_json:
        console.print_json({"id": job_id, "was_paused": was_paused, "next": upcoming})
    else:
        said = "is resumed" if was_paused else "was not paused"
        never = "never" if found.job.enabled else "never, since it is disabled"
        click.echo(f"{job_id} {said}; next: {upcoming or never}")


@click.command("skip-next")
@click.argument("job_id", metavar="ID")
@click.option("--undo", is_flag=True, help="Let the nearest skipped tick run after all.")
@console.json_option
def skip_next(job_id: str, undo: bool, as_json: bool) -> None:
    """Skip the next tick of a job; the one after it fires as ever.

    Called again, it skips the tick after that. The tick stays skipped whatever becomes of the job.
    """
    now = time.time()
    with console.open_redis() as redis:
        registry = console.open_registry(redis)
        registry.job(job_id)
        skips.adopt(redis, job_id, now)
        (found,) = registry.registered([job_id])
        tick = _take_back(redis, found, now) if undo else _skip(redis, found, now)
        (found,) = registry.registered([job_id])
    name, upcoming = RunId(job_id, tick), format_local(found.next, found.job.timezone)
    if as_json:
        done = "undone" if undo else "skipped"
        console.print_json({"id": job_id, done: name, "next": upcoming})
    else:
        will = "is no longer skipped" if undo else "will be skipped"
        click.echo(f"{name} {will}; next: {upcoming or 'never'}")


def _skip(redis: Redis, found: Registered, now: float) -> float:
    """Skip the next tick of a job and return it. Raises CronTasksError if there is none."""
    job_id, tick = found.job.id, found.next
    if not found.job.enabled:
        raise CronTasksError(f"{job_id} is disabled and has no next tick to skip: enable it first")
    if found.paused:
        why = printable(found.paused.reason, 60)
        raise CronTasksError(
            f"{job_id} is paused ({why}) and has no next tick to skip: resume it first"
        )
    if tick is None:
        raise CronTasksError(f"{job_id} has no next tick to skip")
    if not skips.add(redis, job_id, tick, now, _reports()):
        raise CronTasksError(f"{RunId(job_id, tick)} fired just now: nothing was skipped")
    return tick


def _take_back(redis: Redis, found: Registered, now: float) -> float:
    """Take back the nearest skip of a job and return its tick. Raises CronTasksError."""
    job_id, coming = found.job.id, found.coming_skips(now)
    if not coming:
        raise CronTasksError(f"no coming tick of {job_id} is to be skipped: nothing was undone")
    if not skips.take_back(redis, job_id, coming[0], now, _reports()):
        raise CronTasksError(f"{RunId(job_id, coming[0])} was skipped just now: too late to undo")
    return coming[0]


def _reports() -> bool:
    """Whether the REST service is told how its jobs fare."""
    return bool(load().rest_report_path)
