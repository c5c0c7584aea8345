"""`cron-tasks sync`."""

import time
from collections.abc import Iterator, Sequence

import click

from cron_tasks.cli.console import json_option, no_log_lines, open_redis, print_json, progress
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.settings import load
from cron_tasks.sync.reconciler import Reconciler, Report
from cron_tasks.text.display import printable

#: Jobs shown for each kind of change.
SHOWN = 50
#: Exit code of `--dry-run` when there are changes.
CHANGES_FOUND = 3


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; exit 3 if there are changes.")
@click.option("--force", is_flag=True, help="Take the list even if it is empty or far shorter.")
@json_option
@click.pass_context
def sync(ctx: click.Context, dry_run: bool, force: bool, as_json: bool) -> None:
    """Reconcile the schedule with the REST service now.

    Prints what it does, or would do: + added, ~ changed, - removed, ! rejected.
    """
    report = _reconcile(dry_run, force)
    if report is None:
        detail = "another sync is at it, and will look once more when it is done"
        busy = Report("ok", Changes(), detail).as_json() | {"state": "busy"}
        if as_json:
            print_json(busy)
        else:
            click.echo(detail)
        return
    if as_json:
        print_json(report.as_json())
    elif report.state != "failing":
        click.echo("\n".join(_lines(report.changes, dry_run)))
    if report.state != "ok":
        mend = "; if the list is right, `cron-tasks sync --force` takes it"
        mend = mend if report.state == "refused" else ""
        raise click.ClickException(f"nothing was changed: {report.detail}{mend}")
    if dry_run and report.changes:
        ctx.exit(CHANGES_FOUND)


def _reconcile(dry_run: bool, force: bool) -> Report | None:
    settings = load()
    settings.require("rest_url")
    with no_log_lines(), open_redis() as redis, progress("Reconciling") as update:
        reconciler = Reconciler(redis, settings)
        if dry_run:
            return reconciler.preview(force)
        report = reconciler.sync(time.time, force, update)
        if report is not None and report.not_modified:
            report.changes.rejected = reconciler.registry.rejected()
        return report


def _lines(changes: Changes, dry_run: bool) -> Iterator[str]:
    """The plan like a diff, and a line that counts."""
    kinds: tuple[tuple[str, str, Sequence[Desired | Rejected | str]], ...] = (
        ("+", "green", changes.added),
        ("~", "yellow", changes.changed),
        ("-", "red", changes.removed),
        ("!", "magenta", changes.rejected),
    )
    for mark, colour, items in kinds:
        for item in items[:SHOWN]:
            for text in _texts(item):
                yield click.style(f"{mark} {text}", fg=colour)
        if len(items) > SHOWN:
            yield click.style(f"{mark} … and {len(items) - SHOWN:,} more", fg=colour)
    counts = {name: len(getattr(changes, name)) for name in ("added", "changed", "removed")}
    counts |= {"unchanged": changes.unchanged, "rejected": len(changes.rejected)}
    summary = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    yield f"dry run: {summary}" if dry_run else summary


def _texts(item: Desired | Rejected | str) -> list[str]:
    match item:
        case Desired(job=job):
            return [f"{job.id}  {printable(job.name, 60)}  {printable(job.expression, 100)}"]
        case Rejected(id=job_id, place=place, errors=errors):
            return [f"{job_id or '(no id)'}  {place}  {error}" for error in errors]
        case job_id:
            return [job_id]
