"""`cron-tasks why`."""

import json
import time
from dataclasses import asdict
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import explain_tick
from cron_tasks.cli import console
from cron_tasks.ledger.run_id import RunId
from cron_tasks.store import keys
from cron_tasks.text.display import printable, short_repr


@click.command("why")
@click.argument("job_id", metavar="ID")
@click.option(
    "--at",
    required=True,
    metavar="TIME",
    help="ISO 8601, or HH:MM of today; in the zone of the job unless it has an offset.",
)
@console.json_option
def why_command(job_id: str, at: str) -> None:
    """Explain in one sentence what happened to a job at a time, or what will happen."""
    now = time.time()
    with console.open_redis() as redis:
        (found,) = read_accounts(redis, [job_id], range(0), read_open_ticks(redis))
        if not found.versions:
            console.open_registry(redis).get_job(job_id)
        latest = next((v.schedule for v in reversed(found.versions) if v.schedule), None)
        zone = latest.timezone if latest else "UTC"
        when = _read_time(at, zone, now)
        days = days_between(when, when)
        (found,) = read_accounts(redis, [job_id], days, read_open_ticks(redis))
        to_skip = redis.zscore(keys.SKIPS, RunId(job_id, when)) is not None
        history = [json.loads(line) for line in console.open_ledger(redis).history(job_id)]
    runs = {run["run_id"]: run for run in history if "run_id" in run}
    answer = explain_tick(found, runs, when, now, zone, to_skip)
    console.show(
        {"id": job_id, "at": at, **asdict(answer)},
        lambda: click.echo(printable(answer.sentence, 2000)),
    )


def _read_time(text: str, zone: str, now: float) -> float:
    """Return the time in seconds since the epoch. Without an offset it is a time in `zone`."""
    today = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    try:
        moment = datetime.fromisoformat(text if "-" in text else f"{today}T{text}")
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()
    except (ValueError, OverflowError):
        reason = f"{short_repr(text)} is not a time. Examples: 2026-03-01T09:00, 09:00"
        raise click.BadParameter(reason, param_hint="'--at'") from None
