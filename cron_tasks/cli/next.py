"""`cron-tasks next`, which answers at once: it imports Redis and the settings only if needed."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cron_tasks.cli import WrongUsage, console, options
from cron_tasks.errors import ScheduleError
from cron_tasks.schedules import Schedule, parse
from cron_tasks.schedules.human import format_local
from cron_tasks.text.display import printable, short_repr

#: Tells an expression from a job ID: white space, a nickname, `PT5M`, `FREQ=…`, `DTSTART…`.
_EXPRESSION = re.compile(r"\s|^@|^PT?\d|FREQ=|^(?:DTSTART|RRULE|CRON_TZ=|TZ=)", re.IGNORECASE)
_RRULE = re.compile("FREQ=|^(?:DTSTART|RRULE)", re.IGNORECASE)


def _check_zone(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    try:
        parse(cron_expression="@daily", timezone=name or "UTC")
    except ScheduleError as error:
        raise click.BadParameter(error.errors[0][1]) from None
    return name


@click.command("next")
@click.argument("what", metavar="EXPR_OR_ID")
@click.option(
    "-n",
    "count",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=5,
    help="Number of ticks; default 5.",
)
@click.option(
    "--timezone",
    metavar="ZONE",
    callback=_check_zone,
    help="IANA time zone of an expression without one (default: CRON_TASKS_TIMEZONE), or in which "
    "to show the ticks of a job (default: the zone of the job).",
)
@options.time_option("--from", "start", text="Start of the period; default now.")
@console.json_option
def next_ticks(what: str, count: int, timezone: str | None, start: str | None) -> None:
    """Show the next ticks of an expression or of a job.

    EXPR_OR_ID is a cron expression ('0 9 * * MON-FRI'; with six fields, seconds come first), a
    nickname such as @daily, '@every 5m', an ISO 8601 duration (PT5M), an RRULE, or a job ID.
    """
    if not what.strip():
        raise WrongUsage("Give an expression or a job ID, such as '0 9 * * MON-FRI' or 7")
    now = datetime.now(UTC)
    if _EXPRESSION.search(what):
        schedule = _read_expression(what, timezone, start or now.replace(microsecond=0))
        zone = schedule.timezone
        first, skipped = now, tuple[float, ...]()
    else:
        schedule, first, skipped = _schedule_of_job(what, now)
        zone = timezone or schedule.timezone
    first = options.read_moment(start, zone, "--from") if start else first
    ticks = console.list_ticks(schedule, first, count, skipped)
    to_run = console.drop_skips(ticks, skipped)

    def print_text() -> None:
        click.echo(schedule.describe())
        if ticks:
            console.print_ticks(ticks, zone, now, skipped)
        if len(to_run) < count:
            click.echo("No further ticks")

    console.show([format_local(tick, zone) for tick in to_run], print_text)


def _read_expression(text: str, timezone: str | None, start: str | datetime) -> Schedule:
    """Return the schedule of an expression. An RRULE without DTSTART counts from `start`
    (RFC 5545)."""
    kind = "every" if text[0] in "Pp" else "rrule" if _RRULE.search(text) else "cron_expression"
    given: dict[str, Any] = {kind: text}
    if kind == "rrule" and "DTSTART" not in text.upper():
        given["start_at"] = start
    try:
        return parse(**given, timezone=timezone or _default_zone())
    except ScheduleError as error:
        reasons = "; ".join(why for _, why in error.errors)
        raise WrongUsage(f"{short_repr(text)}: {reasons}") from None


def _default_zone() -> str:
    """Return the setting TIMEZONE. Load the settings only if there are any, since that is slow."""
    has_settings = any(name.upper().startswith("CRON_TASKS_") for name in os.environ)
    if has_settings or Path(".env").exists() or Path("/run/secrets").exists():
        from cron_tasks.settings import load

        return load().timezone
    return "UTC"


def _schedule_of_job(job_id: str, now: datetime) -> tuple[Schedule, datetime, tuple[float, ...]]:
    """Return a job's schedule, the time from which it fires, and its ticks to be skipped."""
    from cron_tasks.health.failures import describe_failure
    from cron_tasks.registry.registry import Registry

    try:
        with console.open_redis() as redis:
            registry = Registry(redis)
            (found,) = registry.read_jobs([registry.get_job(job_id).id])
    except Exception as error:
        if (why := describe_failure(error)) is None:
            raise
        text = f"{short_repr(job_id)} is not an expression. As a job ID: {why}"
        raise click.ClickException(text) from None
    if not found.job.enabled:
        enable = "Set `enabled: true` in your REST service"
        click.echo(f"Warning: Job {job_id} is disabled. {enable}", err=True)
    elif found.paused:
        paused = f"Job {job_id} is paused ({printable(found.paused.reason)})"
        click.echo(f"Warning: {paused}. No tick fires until it is resumed", err=True)
    later = datetime.fromtimestamp(found.due, UTC) if found.due else now
    return found.job.schedule, max(now, later), found.skips
