"""`cron-tasks backfill`."""

import time
from collections.abc import Iterator
from functools import partial

import click
from redis import Redis

from cron_tasks.audit.backfill import Backfill, in_turn, plan
from cron_tasks.cli import console
from cron_tasks.cli.following import outcome, patiently, send, wait_for
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import PATIENCE
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.schedules.human import format_local


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--from", "start", metavar="TIME", required=True, help="30min, 2h, 1d, or ISO 8601.")
@click.option("--to", "end", metavar="TIME", required=True, help="The same; included.")
@click.option("--dry-run", is_flag=True, help="Only list the ticks that would run.")
@console.json_option
def backfill(job_id: str, start: str, end: str, dry_run: bool, as_json: bool) -> None:
    """Run the ticks of a job in a period of the past that were due and did not run, or not well.

    Which were due follows from the schedules as they were. While the job was paused or disabled
    nothing was due.

    They keep their run ids; what ran ok or is open is left alone. All are opened at once and begun
    by beat as workers have time for them. Only where one run of the job would be in the way of the
    next they are run in turn, while this command waits; Ctrl-C lets the one that is going end.
    """
    with console.open_redis() as redis:
        job, now = Registry(redis).job(job_id), time.time()
        first, last = (
            console.moment(text, job.timezone, option).timestamp()
            for text, option in ((start, "--from"), (end, "--to"))
        )
        if last < first:
            raise click.BadParameter("it is before --from", param_hint="'--to'")
        found = plan(redis, job, first, last, now)
        serial = not dry_run and in_turn(job)
        opened = [] if dry_run or serial else found.open_all(console.open_ledger(redis), now)
        if not as_json:
            _print(found, job, len(found.missing) if dry_run or serial else len(opened), dry_run)
        if serial:
            opened = list(_run_in_turn(redis, job, found, as_json))
    if as_json:
        counts = {"ok": found.ok, "open": found.open, "unsure": found.unsure}
        not_due = {"paused_or_disabled": found.resting, "before_known": found.unknown}
        shape = {"missing": found.missing, "opened": opened, **counts, "not_due": not_due}
        console.print_json(shape)


def _print(found: Backfill, job: Job, missing: int, dry_run: bool) -> None:
    if dry_run and found.missing:
        rows = [(run_id, status or "never ran") for run_id, status in found.missing.items()]
        console.print_table(("run", "so far"), rows)
    _print_not_due(found, job, dry_run)
    if not found.ticks:
        return click.echo("no tick was due in that time")
    parts = [f"{missing:,} {'would run' if dry_run else 'to run'}", f"{found.ok:,} ran ok"]
    if found.open:
        parts.append(f"{found.open:,} are open")
    if found.unsure:
        parts.append(f"{found.unsure:,} left alone: some of them ran, and it is not kept which")
    click.echo(f"{found.ticks:,} ticks: " + ", ".join(parts))


def _print_not_due(found: Backfill, job: Job, dry_run: bool) -> None:
    """Say which ticks of the present schedule are left out, since they were not due."""
    since = found.known_since
    known = "now" if since is None else format_local(int(since), job.timezone)
    parts = []
    if found.resting:
        parts.append(f"{found.resting:,} while it was paused or disabled")
    if found.unknown:
        parts.append(f"{found.unknown:,} before it was known")
        click.echo(
            f"Warning: what was due before {known} is not known: the job did not exist, or its "
            "schedule was changed longer ago than CRON_TASKS_AUDIT_DAYS",
            err=True,
        )
    if dry_run and parts:
        click.echo(f"not due, by the present schedule: {', '.join(parts)}")


def _run_in_turn(redis: Redis, job: Job, found: Backfill, quiet: bool) -> Iterator[RunId]:
    """Run the missing ticks one after the other, and yield those that this command opened.

    Another command may have run a tick, or opened it, since they were looked up.
    """
    ledger = console.open_ledger(redis)
    for run_id in found.missing:
        when = run_id.scheduled_for
        now = time.time()
        missing = patiently(partial(plan, redis, job, when, when, now)).missing
        if run_id in missing and patiently(
            partial(found.open_some, ledger, [run_id], now + PATIENCE)
        ):
            send(job, run_id)
            yield run_id
        run = wait_for(redis, run_id)
        if not quiet:
            click.echo(f"{run_id}  {outcome(run)}")
