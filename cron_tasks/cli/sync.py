"""`cron-tasks sync`."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from redis import Redis

from cron_tasks.cli import console
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import load
from cron_tasks.sync.feed_state import FeedStatus, describe_feed, load_position, load_status
from cron_tasks.sync.outcome import Report
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.state import load_status as load_source_status
from cron_tasks.text.display import printable

#: The most jobs shown for each kind of change.
SHOWN = 50
#: Exit code of `--dry-run` when there are changes.
CHANGES_FOUND = 3


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; exit 3 if there are changes.")
@click.option("--force", is_flag=True, help="Apply the list even if it is empty or far shorter.")
@console.json_option
@click.pass_context
def sync(ctx: click.Context, dry_run: bool, force: bool) -> None:
    """Read the list of the REST service now, and apply it to the schedule.

    Prints the changes: + added, ~ changed, - removed, ! rejected.
    """
    report = _reconcile(dry_run, force)
    if report is None:
        detail = "Another sync is running. It will read the list again when it is done"
        busy = Report("ok", Changes(), detail).as_json() | {"state": "busy"}
        console.show(busy, lambda: click.echo(detail))
        return
    with console.open_redis() as redis:
        feed = _describe_feed(redis)
    shown = report.as_json() | {"feed": feed}
    console.show(shown, lambda: _print(report, dry_run, feed["detail"]))
    if report.state == "refused":
        refused = "This list would be refused" if dry_run else "Nothing was changed"
        # Without changes it was refused because the registry belongs to another service.
        reason = "If the list is right" if report.changes else "To take this Redis over"
        force_it = f"{reason}, run `cron-tasks sync --force`"
        raise click.ClickException(f"{refused}: {report.detail}. {force_it}")
    if report.state != "ok":
        raise click.ClickException(f"Nothing was changed: {report.detail}")
    if dry_run and report.changes:
        ctx.exit(CHANGES_FOUND)


def _reconcile(dry_run: bool, force: bool) -> Report | None:
    settings = load()
    settings.require("rest_url")
    with (
        console.silence_logs(),
        console.open_redis() as redis,
        console.show_progress("Reconciling") as update,
    ):
        reconciler = Reconciler(redis, settings)
        if dry_run:
            return reconciler.preview(force)
        report = reconciler.sync(time.time, force, update)
        if report is not None and report.not_modified:
            report.changes.rejected = read_rejected(reconciler.redis)
        return report


def _describe_feed(redis: Redis) -> dict[str, Any]:
    """Return whether a feed of changes is followed, when it last answered, and a sentence."""
    fault, position = load_source_status(redis).feed_fault, load_position(redis)
    status = load_status(redis) if position.address else FeedStatus()
    detail = describe_feed(status, time.time()) if position.address else fault
    answered = None if status.answered is None else iso_utc(round(status.answered, 3))
    return {"is_followed": bool(position.address), "answered": answered, "detail": detail}


def _print(report: Report, dry_run: bool, feed: str) -> None:
    """Print the changes like a diff, a line that counts them, and how the feed stands, if any.

    A refused list is printed with the changes that it would make. There are none if the service
    failed, or if the registry belongs to another service.
    """
    if report.state != "ok" and not report.changes:
        return
    for line in _changed_lines(report.changes):
        click.echo(line)
    for warning in report.warnings:
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
    is_plan = dry_run or report.state == "refused"
    click.echo(_plan_summary(report.changes) if is_plan else _summary(report.changes))
    if feed:
        click.echo(printable(feed))


def _changed_lines(changes: Changes) -> Iterator[str]:
    kinds: tuple[tuple[str, str, Sequence[Desired | Rejected | str]], ...] = (
        ("+", "green", changes.added),
        ("~", "yellow", changes.changed),
        ("-", "red", changes.removed),
        ("!", "magenta", changes.rejected),
    )
    for mark, colour, items in kinds:
        for item in items[:SHOWN]:
            for text in _describe(item):
                yield click.style(f"{mark} {text}", fg=colour)
        if len(items) > SHOWN:
            yield click.style(f"{mark} … and {len(items) - SHOWN:,} more", fg=colour)


def _summary(changes: Changes) -> str:
    counts = {name: len(getattr(changes, name)) for name in ("added", "changed", "removed")}
    counts |= {"unchanged": changes.unchanged, "rejected": len(changes.rejected)}
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _plan_summary(changes: Changes) -> str:
    """Return "would add 2, remove 8; 5 unchanged, 0 rejected"."""
    added, changed, removed = len(changes.added), len(changes.changed), len(changes.removed)
    counts = {"add": added, "change": changed, "remove": removed}
    verbs = ", ".join(f"{verb} {count:,}" for verb, count in counts.items() if count)
    rest = f"{changes.unchanged:,} unchanged, {len(changes.rejected):,} rejected"
    return f"would {verbs or 'change nothing'}; {rest}"


def _describe(item: Desired | Rejected | str) -> list[str]:
    match item:
        case Desired(job=job):
            name, rule = console.shorten(job.name, 60), console.shorten(job.expression, 100)
            return [f"{job.id}  {name}  {rule}"]
        case Rejected(id=job_id, place=place, errors=errors):
            return [f"{job_id or '(no id)'}  {place}  {error}" for error in errors]
        case job_id:
            return [job_id]
