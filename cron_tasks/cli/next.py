"""`cron-tasks next`, which answers at once: Redis and the settings are imported only if needed."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from cron_tasks.cli.output import json_option, print_json, print_table
from cron_tasks.cli.times import local, tick_cells, ticks
from cron_tasks.errors import ScheduleError
from cron_tasks.schedules import Schedule, parse
from cron_tasks.text import shown

#: What is an expression and no id of a job: white space, a nickname, `PT5M`, `FREQ=…`, `DTSTART…`.
_EXPRESSION = re.compile(r"\s|^@|^PT?\d|FREQ=|^(?:DTSTART|RRULE|CRON_TZ=|TZ=)", re.IGNORECASE)
_RRULE = re.compile("FREQ=|^(?:DTSTART|RRULE)", re.IGNORECASE)
_ZONE = "CRON_TASKS_TIMEZONE"
_SECRETS = "CRON_TASKS_SECRETS_DIR"


def _known_zone(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name is not None:
        try:
            parse(cron_expression="@daily", timezone=name)
        except ScheduleError as error:
            raise click.BadParameter(error.errors[0][1]) from None
    return name


@click.command("next")
@click.argument("what", metavar="EXPR_OR_ID")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, help="How many; default 5.")
@click.option(
    "--timezone",
    metavar="ZONE",
    callback=_known_zone,
    help="IANA zone of an expression that names none (default: CRON_TASKS_TIMEZONE), "
    "or in which to show the ticks of a job (default: its own).",
)
@click.option("--from", "start", metavar="TIME", help="ISO 8601 time to start at; default now.")
@json_option
def next_ticks(
    what: str, count: int, timezone: str | None, start: str | None, as_json: bool
) -> None:
    """Show the next ticks of an expression or of a job.

    EXPR_OR_ID is a cron expression ('0 9 * * MON-FRI'; with six fields, seconds first), @daily and
    its kin, '@every 5m', an ISO 8601 duration (PT5M), an RRULE, or the id of a job.
    """
    now = datetime.now(UTC)
    if _EXPRESSION.search(what):
        schedule, enabled = _read(what, timezone, start, now), True
        zone = schedule.timezone
    else:
        schedule, enabled = _schedule_of_job(what)
        zone = timezone or schedule.timezone
    found = ticks(schedule, _moment(start, zone) if start else now, count)
    if not enabled:
        click.echo("Warning: the job is disabled, it has no ticks until it is enabled", err=True)
    if as_json:
        print_json([local(tick, zone) for tick in found])
        return
    click.echo(schedule.describe())
    if found:
        print_table(("next", "day", "away"), [tick_cells(tick, zone, now) for tick in found])
    if len(found) < count:
        click.echo("no tick after that" if found else "no tick any more")


def _read(text: str, timezone: str | None, start: str | None, now: datetime) -> Schedule:
    given: dict[str, Any] = {"cron_expression": text}
    if _RRULE.search(text):
        given = {"rrule": text}
        if "DTSTART" not in text.upper():  # RFC 5545 counts from there
            given["start_at"] = start or now.replace(microsecond=0)
    elif re.match("P", text, re.IGNORECASE):
        given = {"every": text}
    try:
        return parse(**given, timezone=timezone or _default_zone())
    except ScheduleError as error:
        reasons = (f"{_ZONE}: {why}" if at == "timezone" else why for at, why in error.errors)
        raise click.ClickException(f"{shown(text)}: {'; '.join(reasons)}") from None


def _default_zone() -> str:
    """The setting TIMEZONE; all settings are read, which takes a while, only if it may be there."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    if zone := environment.get(_ZONE):
        return zone
    dotenv, secrets = Path(".env"), Path(environment.get(_SECRETS) or "/run/secrets")
    text = dotenv.read_text("utf-8", "replace").upper() if dotenv.is_file() else ""
    if _ZONE in text or _SECRETS in text or secrets.is_dir():
        from cron_tasks.settings import load

        return load().timezone
    return "UTC"


def _schedule_of_job(job_id: str) -> tuple[Schedule, bool]:
    """The schedule of a registered job, and whether it is enabled."""
    from cron_tasks.cli.services import open_redis
    from cron_tasks.cli.trouble import sentence
    from cron_tasks.registry import Registry

    try:
        with open_redis() as redis:
            job = Registry(redis).job(job_id)
    except Exception as error:
        if (text := sentence(error)) is None:
            raise
        neither = f"{shown(job_id)} is no expression, and as the id of a job: {text}"
        raise click.ClickException(neither) from None
    return job.schedule, job.enabled


def _moment(text: str, zone: str) -> datetime:
    """The instant before which no tick is shown; without an offset it is wall time in `zone`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return moment.astimezone(UTC) - timedelta(microseconds=1)
    except (ValueError, OverflowError):
        expected = "expected an ISO 8601 time such as 2026-03-01T09:00"
        raise click.BadParameter(f"{expected}, got {shown(text)}", param_hint="'--from'") from None
