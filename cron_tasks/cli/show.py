"""`cron-tasks jobs show`."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from redis import Redis

from cron_tasks.cli import console
from cron_tasks.cli.runs import print_runs
from cron_tasks.registry.registry import Registered, Registry
from cron_tasks.runs import queries as stored
from cron_tasks.schedules.human import format_local
from cron_tasks.text.display import printable

TICKS = 5
#: Open runs that are shown.
RUNS = 20
#: Parts of a schedule's spec that are no part of its text.
_WINDOW = {"s": "start_at", "u": "end_at", "x": "exclude", "j": "shifted_by"}


@click.command()
@click.argument("job_id", metavar="ID")
@console.json_option
def show(job_id: str, as_json: bool) -> None:
    """Show one job: what it says, its next ticks, what runs or waits, and its last runs."""
    with console.open_redis() as redis:
        registry = Registry(redis)
        (found,) = registry.registered([registry.job(job_id).id])
        facts = _facts(found) | _in_the_way(redis, found)
        going = [
            stored.details(redis, run["run_id"]) or run
            for run in stored.still_open(redis, RUNS, job_id)
        ]
        ended = [stored.shaped(record) for record in console.open_ledger(redis).history(job_id)]
    job = found.job
    now, zone = datetime.now(UTC), job.timezone
    ticks = []
    if found.due is not None:
        start = datetime.fromtimestamp(found.due, UTC)
        ticks = console.upcoming(job.schedule, start, TICKS, found.skips)
    if as_json:
        upcoming = [format_local(tick, zone) for tick in console.kept(ticks, found.skips)]
        facts |= {"next": upcoming, "open": going, "runs": ended}
        console.print_json(facts)
        return
    _print_facts(facts)
    if ticks:
        click.echo()
        console.print_ticks(ticks, zone, now, found.skips)
    if going or ended:
        click.echo()
        print_runs(going + ended, zone)


def _facts(found: Registered) -> dict[str, Any]:
    """The job: what is always of interest, and `fields`, what else differs from the defaults."""
    job, pause = found.job, found.paused
    facts = {
        "id": job.id,
        "name": job.name,
        "enabled": job.enabled,
        "paused": pause is not None,
        "pause": pause
        and {"reason": pause.reason, "since": format_local(pause.since, job.timezone)},
        "schedule": job.expression,
        "timezone": job.timezone,
        "description": job.schedule.describe(),
    }
    fields: dict[str, Any] = json.loads(job.to_document())
    spec = fields.pop("schedule")
    fields = {name: fields[name] for name in fields if name not in (*facts, "written")}
    fields |= {name: spec[key] for key, name in _WINDOW.items() if key in spec}
    return facts | {"fields": fields, "warnings": job.warnings}


def _in_the_way(redis: Redis, found: Registered) -> dict[str, Any]:
    """`rejected`: what is wrong with the job's row by now, whose last good version this then is;
    `skips`: coming ticks that are to be skipped."""
    job_id, zone = found.job.id, found.job.timezone
    ahead = found.coming_skips(time.time())
    wrong = [each.errors for each in Registry(redis).rejected() if each.id == job_id]
    return {"rejected": sum(wrong, ()), "skips": tuple(format_local(tick, zone) for tick in ahead)}


def _print_facts(facts: Mapping[str, Any]) -> None:
    click.secho(f"{facts['id']}  {printable(facts['name'])}", bold=True)
    shown = {name: facts[name] for name in facts if name not in ("id", "name", "fields", "pause")}
    if pause := facts["pause"]:
        shown["paused"] = f"since {pause['since'][:19]}{pause['since'][-6:]}: {pause['reason']}"
    if facts["rejected"]:
        shown["rejected"] = f"this is the last good version; now {'; '.join(facts['rejected'])}"
    console.print_facts(shown | facts["fields"])
