"""`cron-tasks why`."""

import json
import time
from dataclasses import asdict
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from cron_tasks.audit.account import days_of, read, read_open
from cron_tasks.audit.explain import why
from cron_tasks.cli import console
from cron_tasks.ledger.run_id import RunId
from cron_tasks.store import names
from cron_tasks.text.display import printable, short_repr


@click.command("why")
@click.argument("job_id", metavar="ID")
@click.option("--at", required=True, metavar="TIME", help="ISO 8601, or HH:MM of today.")
@console.json_option
def why_command(job_id: str, at: str, as_json: bool) -> None:
    """Say in one sentence what became of a job at a time, or what will."""
    now = time.time()
    with console.open_redis() as redis:
        registry = console.open_registry(redis)
        (found,) = read(redis, [job_id], range(0), read_open(redis))
        if not found.versions:
            registry.job(job_id)
        latest = next((v.schedule for v in reversed(found.versions) if v.schedule), None)
        zone = latest.timezone if latest else "UTC"
        when = _moment(at, zone, now)
        (found,) = read(redis, [job_id], days_of(when, when), read_open(redis))
        to_skip = redis.zscore(names.SKIPS, RunId(job_id, when)) is not None
        history = [json.loads(line) for line in console.open_ledger(redis).history(job_id)]
    runs = {run["run_id"]: run for run in history if "run_id" in run}
    answer = why(found, runs, when, now, zone, to_skip)
    if as_json:
        console.print_json({"id": job_id, "at": at, **asdict(answer)})
    else:
        click.echo(printable(answer.sentence, 2000))


def _moment(text: str, zone: str, now: float) -> float:
    """Without an offset it is wall time in `zone`."""
    today = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    try:
        moment = datetime.fromisoformat(text if "-" in text else f"{today}T{text}")
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()
    except (ValueError, OverflowError):
        expected = "expected an ISO 8601 time such as 2026-03-01T09:00, or 09:00"
        raise click.BadParameter(
            f"{expected}, got {short_repr(text)}", param_hint="'--at'"
        ) from None
