"""`cron-tasks jobs …`: the group, and `list`, `rejected` and `run`."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click
from redis import Redis

from cron_tasks.cli import Commands, LazyGroup, console, job_order, options
from cron_tasks.cli.following import start_run, timeout_option, wait_option
from cron_tasks.cli.watching import watch
from cron_tasks.registry.registry import RegisteredJob, Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.runs.commands import open_by_hand
from cron_tasks.schedules.human import format_local
from cron_tasks.store.paging import pages
from cron_tasks.text.display import printable

#: A job as `--json` shows it, and as it is registered.
Row = tuple[dict[str, Any], RegisteredJob]
COMMANDS: Commands = {
    "list": ("jobs:list_jobs", "List the jobs with next tick and last status."),
    "show": ("show:show", "Show one job, its next ticks and its last runs."),
    "pause": ("pause:pause", "Pause a job until it is resumed."),
    "resume": ("pause:resume", "End the pause of a job."),
    "skip-next": ("pause:skip_next", "Skip the next tick of a job, or undo a skip."),
    "rejected": ("jobs:list_rejected", "List the rows that are not valid jobs, and why."),
    "run": ("jobs:run", "Run a job now, and print its run ID."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def jobs() -> None:
    """Show the jobs, run one now, or pause one."""


@click.command("list")
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--search", metavar="TEXT", help="Only jobs whose id or name contains TEXT.")
@click.option(
    "--sort",
    type=options.Name(job_order.ORDERS),
    default="id",
    show_default=True,
    help="`next`: the soonest first. `last`: the latest run first.",
)
@click.option(
    "--follow", is_flag=True, help="Also show changes of jobs as they come, until Ctrl-C."
)
@console.json_option
def list_jobs(tag: str | None, search: str | None, sort: str, follow: bool) -> None:
    """List the jobs with their next tick and the status of their last run.

    With --follow, the list is followed by a line for each change. With --follow and --json, each
    line is an object with `what`, which is `listed` for the jobs of the list.
    """
    wanted = job_order.Filter(tag, search)
    with console.open_redis() as redis:
        if follow:
            watch(redis, lambda: _show_list(redis, wanted, sort, follow), wanted.matches)
        _show_list(redis, wanted, sort, follow)


def _show_list(redis: Redis, wanted: job_order.Filter, sort: str, follow: bool) -> dict[str, str]:
    """Print the jobs. To follow them, return their names by their ids."""
    names: dict[str, str] = {}
    listed = _read_jobs(redis, wanted, sort)
    rows: Iterator[Row] = ((_shape(*each), each[0]) for each in listed)
    if follow:
        rows = _note_names(rows, names)
    if follow and console.wants_json():
        for row, _ in rows:
            console.show_line({"what": "listed", **row}, "")
    else:
        heading = ("id", "name", "schedule", "timezone", "next", "last")
        none = "no job matches" if wanted else "no job is known; see `cron-tasks doctor`"
        console.show_pages(heading, rows, lambda row: row[0], lambda row: _cells(*row), none)
    return names


def _note_names(rows: Iterable[Row], names: dict[str, str]) -> Iterator[Row]:
    for row, job in rows:
        names[row["id"]] = row["name"]
        yield row, job


def _read_jobs(redis: Redis, wanted: job_order.Filter, order: str) -> Iterator[job_order.Listed]:
    """Yield the jobs in the order of that name, each with the record of its last run.

    By id they come at once. Any other order is known only once all jobs have been read.
    """
    ids: Iterable[str] = Registry(redis).list_ids()
    if order != "id":
        key = job_order.sort_key(order)
        listed = _read_in_order(redis, ids, wanted)
        ids = [job_id for _, job_id in sorted((key(each), each[0].job.id) for each in listed)]
    else:
        ids = job_order.sort_lazily(ids)
    return _read_in_order(redis, ids, wanted)


def _read_in_order(
    redis: Redis, ids: Iterable[str], wanted: job_order.Filter
) -> Iterator[job_order.Listed]:
    """Yield those of the jobs that are wanted, with the record of their last run."""
    registry, ledger = Registry(redis), console.open_ledger(redis)
    for page in pages(registry.read_jobs(ids, _warn)):
        newest = ledger.newest([each.job.id for each in page])
        for registered, record in zip(page, newest, strict=True):
            if wanted.matches(registered.job):
                yield registered, record


def _shape(registered: RegisteredJob, record: str | None) -> dict[str, Any]:
    job = registered.job
    return {
        "id": job.id,
        "name": job.name,
        "schedule": job.expression,
        "timezone": job.timezone,
        "enabled": job.enabled,
        "paused": registered.paused is not None,
        "next": format_local(registered.next, console.shown_zone(job.timezone)),
        "last_status": json.loads(record)["status"] if record else None,
    }


def _warn(job_id: str, reason: str) -> None:
    click.echo(f"Warning: Job {job_id} is left out: {reason}", err=True)


def _cells(row: dict[str, Any], registered: RegisteredJob) -> list[str]:
    pause = registered.paused
    texts = [row["id"], printable(row["name"], 1000), printable(row["schedule"], 1000)]
    texts.append(row["timezone"])
    upcoming = f"paused: {printable(pause.reason)}" if pause else row["next"] or "never"
    return [*texts, upcoming if row["enabled"] else "disabled", row["last_status"] or ""]


@click.command("rejected")
@console.json_option
def list_rejected() -> None:
    """List the rows of the REST service that are not valid jobs, with every reason."""
    with console.open_redis() as redis:
        found = sorted(read_rejected(redis), key=lambda each: job_order.by_id(each.id or ""))
    rows = []
    for each in found:
        row = "" if each.row is None else printable(json.dumps(each.row, ensure_ascii=False))
        place = printable(each.place)
        rows += [(each.id or "", place, error, row) for error in each.errors]
    heading = ("id", "place", "error", "row")
    none = "no row is rejected"
    console.show([asdict(each) for each in found], lambda: console.print_table(heading, rows, none))


@click.command()
@click.argument("job_id", metavar="ID")
@wait_option
@timeout_option
@console.json_option
def run(job_id: str, wait: bool, timeout: float | None) -> None:
    """Run a job now, regardless of its schedule, and print its run ID.

    The run starts when a worker takes it. With --wait, Ctrl-C ends the command and not the run.
    If no worker has taken it after 5 s, a note names its queue and the workers that consume it.
    """
    with console.open_redis() as redis:
        (found,) = Registry(redis).read_jobs([Registry(redis).get_job(job_id).id])
        job = found.job
        if found.paused:
            paused = f"Job {job_id} is paused ({printable(found.paused.reason)})"
            click.echo(f"Note: {paused}. This run starts anyway", err=True)
        run_id = open_by_hand(console.open_ledger(redis), job, time.time())
        console.record_action(redis, "run", run_id)
        start_run(redis, job, run_id, wait, timeout)
