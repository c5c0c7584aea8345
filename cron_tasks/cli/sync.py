"""`cron-tasks sync`."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import click

from cron_tasks.cli.output import json_option, print_json, print_lines, progress
from cron_tasks.cli.services import no_log_lines, open_redis
from cron_tasks.jobs import Rejected
from cron_tasks.plan import Changes, Desired
from cron_tasks.settings import load
from cron_tasks.sync import Reconciler, Report
from cron_tasks.text import printable

#: Jobs shown for each kind of change.
SHOWN = 50
#: Exit code of `--dry-run` when there are changes.
CHANGES_FOUND = 3

T = TypeVar("T")


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; exit 3 if there are changes.")
@click.option("--force", is_flag=True, help="Take the list even if it is empty or far shorter.")
@json_option
@click.pass_context
def sync(ctx: click.Context, dry_run: bool, force: bool, as_json: bool) -> None:
    """Reconcile the schedule with the REST service now.

    Prints what it does, or would do: + added, ~ changed, - removed, ! rejected, ? odd.
    """
    report = _reconcile(dry_run, force)
    if report is None:
        _print_busy(as_json)
        return
    if as_json:
        print_json(report.as_json())
    elif report.state != "failing":
        print_lines(_lines(report.changes, dry_run))
    if report.state == "refused":
        mend = "if the list is right, `cron-tasks sync --force` takes it"
        raise click.ClickException(f"nothing was changed: {report.detail}; {mend}")
    if report.state == "failing":
        raise click.ClickException(f"nothing was changed: {report.detail}")
    if dry_run and report.changes:
        ctx.exit(CHANGES_FOUND)


def _reconcile(dry_run: bool, force: bool) -> Report | None:
    settings = load()
    settings.required("rest_url")
    with no_log_lines(), open_redis() as redis, progress("Reconciling") as update:
        reconciler = Reconciler(redis, settings)
        if dry_run:
            return reconciler.preview(force)
        report = reconciler.sync(time.time, force, update)
        if report is not None and report.not_modified:
            report.changes.rejected = reconciler.registry.rejected()
        return report


def _print_busy(as_json: bool) -> None:
    detail = "another sync is at it, and will look once more when it is done"
    if as_json:
        print_json(Report("ok", Changes(), detail).as_json() | {"state": "busy"})
    else:
        click.echo(detail)


def _lines(changes: Changes, dry_run: bool) -> Iterator[str]:
    yield from _marked("+", "green", changes.added, _job)
    yield from _marked("~", "yellow", changes.changed, _job)
    warned = [each for each in (*changes.added, *changes.changed) if each.job.warnings]
    yield from _marked("?", "cyan", warned, _warned)
    yield from _marked("-", "red", changes.removed, lambda job_id: [job_id])
    yield from _marked("!", "magenta", changes.rejected, _rejected)
    counts = {name: len(getattr(changes, name)) for name in ("added", "changed", "removed")}
    counts |= {"unchanged": changes.unchanged, "rejected": len(changes.rejected)}
    summary = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    yield f"dry run: {summary}" if dry_run else summary


def _marked(
    mark: str, colour: str, items: Sequence[T], describe: Callable[[T], list[str]]
) -> Iterator[str]:
    for item in items[:SHOWN]:
        for line in describe(item):
            yield click.style(f"{mark} {line}", fg=colour)
    if len(items) > SHOWN:
        yield click.style(f"{mark} … and {len(items) - SHOWN:,} more", fg=colour)


def _job(desired: Desired) -> list[str]:
    job = desired.job
    return [f"{job.id}  {printable(job.name, 60)}  {printable(job.expression, 100)}"]


def _warned(desired: Desired) -> list[str]:
    return [f"{desired.job.id}  {warning}" for warning in desired.job.warnings]


def _rejected(rejected: Rejected) -> list[str]:
    start = f"{rejected.id or '(no id)'}  {rejected.place}"
    return [f"{start}  {error}" for error in rejected.errors]
