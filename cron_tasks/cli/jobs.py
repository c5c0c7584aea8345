"""`cron-tasks jobs …`: the group, and its commands but for `show`."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from redis import Redis

from cron_tasks.cli import Commands, LazyGroup, console
from cron_tasks.cli.following import begin, wait_option
from cron_tasks.registry.registry import Registered, Registry
from cron_tasks.runs.commands import open_by_hand
from cron_tasks.schedules.human import format_local
from cron_tasks.store.paging import pages
from cron_tasks.text.display import printable

COMMANDS: Commands = {
    "list": ("jobs:list_jobs", "List the jobs with next tick and last status."),
    "show": ("show:show", "Show one job, its next ticks and its last runs."),
    "pause": ("pause:pause", "Let a job rest until it is resumed."),
    "resume": ("pause:resume", "End the pause of a job."),
    "skip-next": ("pause:skip_next", "Skip the next tick of a job, or undo that."),
    "rejected": ("jobs:rejected", "List the rows that are no job, and why."),
    "run": ("jobs:run", "Run a job now, and print the id of the run."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def jobs() -> None:
    """Look at the jobs, or run one by hand."""


@click.command("list")
@click.option("--tag", help="Only jobs with this tag.")
@console.json_option
def list_jobs(tag: str | None, as_json: bool) -> None:
    """List the jobs, with their next tick and the status of their last run."""
    with console.open_redis() as redis:
        found = sorted(_found(redis, tag), key=lambda each: _natural(each[0].job.id))
    if as_json:
        console.print_json([_row(*each) for each in found])
    else:
        heading = ("id", "name", "schedule", "timezone", "next", "last")
        console.print_table(heading, [_cells(*each) for each in found])


def _found(redis: Redis, tag: str | None) -> Iterator[tuple[Registered, str | None]]:
    """The jobs, each with the record of its last run."""
    registry, ledger = Registry(redis), console.open_ledger(redis)
    count, done = registry.count(), 0
    with console.progress("Reading the jobs") as update:
        for page in pages(registry.registered(unreadable=_warn)):
            newest = ledger.newest([each.job.id for each in page])
            done += len(page)
            update(done, count)
            for registered, record in zip(page, newest, strict=True):
                if tag is None or tag in registered.job.tags:
                    yield registered, record


def _row(registered: Registered, record: str | None) -> dict[str, Any]:
    job = registered.job
    return {
        "id": job.id,
        "name": job.name,
        "schedule": job.expression,
        "timezone": job.timezone,
        "enabled": job.enabled,
        "paused": registered.paused is not None,
        "next": format_local(registered.next, job.timezone),
        "last_status": json.loads(record)["status"] if record else None,
    }


def _warn(job_id: str, reason: str) -> None:
    click.echo(f"Warning: job {job_id} is left out: {reason}", err=True)


def _natural(job_id: str) -> tuple[bool, int, str]:
    """Numbers in their order, then names."""
    number = job_id.isascii() and job_id.isdigit()
    return not number, int(job_id) if number else 0, job_id


def _cells(registered: Registered, record: str | None) -> list[str]:
    row, pause = _row(registered, record), registered.paused
    texts = [row["id"], printable(row["name"], 60), printable(row["schedule"], 60), row["timezone"]]
    upcoming = f"paused: {printable(pause.reason, 60)}" if pause else row["next"] or "never"
    return [*texts, upcoming if row["enabled"] else "disabled", row["last_status"] or ""]


@click.command()
@console.json_option
def rejected(as_json: bool) -> None:
    """List the rows of the REST service that are no valid job, with every reason."""
    with console.open_redis() as redis:
        found = sorted(Registry(redis).rejected(), key=lambda each: _natural(each.id or ""))
    if as_json:
        console.print_json([asdict(each) for each in found])
        return
    rows = []
    for each in found:
        row = "" if each.row is None else printable(json.dumps(each.row, ensure_ascii=False))
        place = printable(each.place)
        rows += [(each.id or "", place, error, row) for error in each.errors]
    console.print_table(("id", "place", "error", "row"), rows)


@click.command()
@click.argument("job_id", metavar="ID")
@wait_option
@console.json_option
def run(job_id: str, wait: bool, as_json: bool) -> None:
    """Run a job now, whatever its schedule says, and print the id of the run.

    The run waits until a worker takes it. With --wait follow it to its end; Ctrl-C ends the
    waiting and not the run.
    """
    with console.open_redis() as redis:
        (found,) = Registry(redis).registered([Registry(redis).job(job_id).id])
        job = found.job
        if found.paused:
            paused = f"job {job_id} is paused ({found.paused.reason})"
            click.echo(f"Note: {paused}; this run goes ahead all the same", err=True)
        run_id = open_by_hand(console.open_ledger(redis), job, time.time())
        begin(redis, job, run_id, wait, as_json)
