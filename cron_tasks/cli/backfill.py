"""`cron-tasks backfill`."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import click
from redis import Redis

from cron_tasks.audit.backfill import Backfill, lock_backfills, must_run_in_turn, plan_backfill
from cron_tasks.cli import console, options
from cron_tasks.cli.following import ask_patiently, send_run, wait_for_end
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import PATIENCE, Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.runs.wording import describe_outcome
from cron_tasks.schedules.human import format_local
from cron_tasks.text.english import number_of


@click.command()
@click.argument("job_id", metavar="ID")
@options.time_option("--from", "start", required=True, text="The first time.")
@options.time_option("--to", "end", required=True, text="The last time, inclusive.")
@click.option("--dry-run", is_flag=True, help="Only list the ticks that would run.")
@console.json_option
def backfill(job_id: str, start: str, end: str, dry_run: bool) -> None:
    """Run the ticks of a job in a past period that did not run, or did not end ok.

    The ticks are computed from the schedules in force at the time. While the job was paused or
    disabled, no tick was due.

    The runs keep their run IDs. Ticks that ran ok or are still open are left alone. All runs are
    opened at once, and beat sends them when workers have time for them. If runs of the job must not
    overlap, they run one after the other while this command waits. After Ctrl-C the current run
    continues, and no further run starts.
    """
    with console.open_redis() as redis:
        job, now = Registry(redis).get_job(job_id), time.time()
        first = options.read_past(start, job.timezone, "--from").timestamp()
        last = options.read_moment(end, job.timezone, "--to").timestamp()
        if last < first:
            raise click.BadParameter("it is before --from", param_hint="'--to'")
        in_turn = not dry_run and must_run_in_turn(job)
        with nullcontext() if dry_run or in_turn else lock_backfills(redis, job.id):
            found = plan_backfill(redis, job, first, last, now)
            opened = [] if dry_run or in_turn else found.open_all(console.open_ledger(redis), now)
        if not dry_run and found.missing:
            console.record_action(redis, "backfill", job.id, f"{start} to {end}")
        if not console.wants_json():
            to_run = len(found.missing) if dry_run or in_turn else len(opened)
            _print(found, job, to_run, dry_run)
        if in_turn:
            opened = list(_run_in_turn(redis, job, found))
    counts = {"ok": found.ok, "open": found.open, "unsure": found.unsure}
    not_due = {"paused_or_disabled": found.resting, "before_known": found.unknown}
    facts = {"missing": found.missing, "opened": opened, **counts, "not_due": not_due}
    console.show(facts, lambda: None)


def _print(found: Backfill, job: Job, to_run: int, dry_run: bool) -> None:
    if dry_run and found.missing:
        rows = [(run_id, status or "never ran") for run_id, status in found.missing.items()]
        console.print_table(("run", "so far"), rows)
    _print_not_due(found, job, dry_run)
    if not found.ticks:
        return click.echo("No tick was due in this period")
    parts = [f"{to_run:,} {'would run' if dry_run else 'to run'}", f"{found.ok:,} ran ok"]
    if found.open:
        parts.append(f"{found.open:,} still open")
    if found.unsure:
        unsure = "left alone, because some of them ran, and the records do not show which"
        parts.append(f"{found.unsure:,} {unsure}")
    click.echo(f"{number_of(found.ticks, 'tick')}: " + ", ".join(parts))


def _print_not_due(found: Backfill, job: Job, dry_run: bool) -> None:
    """Print how many ticks of the current schedule are left out because they were not due."""
    since = found.known_since
    known = "now" if since is None else format_local(int(since), job.timezone)
    parts = []
    if found.resting:
        parts.append(f"{found.resting:,} while the job was paused or disabled")
    if found.unknown:
        parts.append(f"{found.unknown:,} before {known}")
        click.echo(
            f"Warning: ticks before {known} are not known. The job did not exist, or its schedule "
            "was changed longer ago than CRON_TASKS_AUDIT_DAYS",
            err=True,
        )
    if dry_run and parts:
        click.echo(f"Ticks of the current schedule that were not due: {', '.join(parts)}")


def _run_in_turn(redis: Redis, job: Job, found: Backfill) -> Iterator[RunId]:
    """Run the missing ticks one after the other, and yield those that this command opened.

    Meanwhile another command may have run a tick, or opened it. So each tick is looked up again.
    """
    ledger = console.open_ledger(redis)
    for run_id in found.missing:
        now = time.time()
        if ask_patiently(partial(_open_missing, redis, ledger, job, found, run_id, now)):
            send_run(job, run_id)
            yield run_id
        run = wait_for_end(redis, run_id)
        console.print_text(f"{run_id}  {describe_outcome(run, job.timezone)}")


def _open_missing(
    redis: Redis, ledger: Ledger, job: Job, found: Backfill, run_id: RunId, now: float
) -> bool:
    """Open a tick unless another command has run or opened it. Return whether this one did."""
    with lock_backfills(redis, job.id):
        if not found.is_still_missing(redis, job, run_id, now):
            return False
        return bool(found.open_some(ledger, [run_id], now + PATIENCE))
