"""`cron-tasks jobs pause`, `resume` and `skip-next`: a person's word over the schedule's."""

import time

import click

from cron_tasks.cli import console
from cron_tasks.errors import CronTasksError
from cron_tasks.outcomes import Attempt, Result, record
from cron_tasks.overtaken import tell_overtaken
from cron_tasks.settings import load
from cron_tasks.text import printable
from cron_tasks.ticks import next_tick, run_id
from cron_tasks.times import local

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
        console.print_json({"id": job_id, "paused": {"reason": reason, "since": local(now)}})
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
    upcoming = local(found.next, found.job.timezone)
    if as_json:
        console.print_json({"id": job_id, "was_paused": was_paused, "next": upcoming})
    else:
        said = "is resumed" if was_paused else "was not paused"
        never = "never" if found.job.enabled else "never, since it is disabled"
        click.echo(f"{job_id} {said}; next: {upcoming or never}")


@click.command("skip-next")
@click.argument("job_id", metavar="ID")
@console.json_option
def skip_next(job_id: str, as_json: bool) -> None:
    """Skip the next tick of a job; the one after it fires as ever."""
    now = time.time()
    with console.open_redis() as redis:
        registry = console.open_registry(redis)
        (job,) = registry.registered([registry.job(job_id).id])
        if job.next is None:
            raise CronTasksError(f"{job_id} has no next tick to skip")
        skipped = run_id(job_id, job.next)
        line = record(skipped, Result("skipped", "by_hand"), Attempt(0, None, now, None))
        if not registry.skip(job_id, job.next, line, now):
            raise CronTasksError(f"{skipped} fired just now: nothing was skipped")
        following = local(next_tick(job.job.schedule, job.next), job.job.timezone)
    if as_json:
        console.print_json({"id": job_id, "skipped": skipped, "next": following})
    else:
        click.echo(f"{skipped} will be skipped; next: {following or 'never'}")
