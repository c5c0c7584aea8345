"""`cron-tasks jobs show`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from cron_tasks.cli import console
from cron_tasks.registry import Registered, Registry
from cron_tasks.runs import shaped
from cron_tasks.text import printable
from cron_tasks.times import local

TICKS = 5
#: Parts of a schedule's spec that are no part of its text.
_WINDOW = {"s": "start_at", "u": "end_at", "x": "exclude", "j": "shifted_by"}


@click.command()
@click.argument("job_id", metavar="ID")
@console.json_option
def show(job_id: str, as_json: bool) -> None:
    """Show one job: what it says, its next ticks and its last runs."""
    with console.open_redis() as redis:
        registry = Registry(redis)
        (found,) = registry.registered([registry.job(job_id).id])
        runs = [shaped(record) for record in console.open_ledger(redis).history(job_id)]
    job, facts = found.job, _facts(found)
    now, zone = datetime.now(UTC), job.timezone
    start = now if found.next is None else datetime.fromtimestamp(found.next, UTC)
    ticks = console.upcoming(job.schedule, start, TICKS) if found.next is not None else []
    if as_json:
        console.print_json(facts | {"next": [local(tick, zone) for tick in ticks], "runs": runs})
        return
    _print_facts(facts)
    if ticks:
        click.echo()
        console.print_ticks(ticks, zone, now)
    if runs:
        click.echo()
        heading = ("scheduled for", "status", "attempt", "took", "worker", "reason")
        console.print_table(heading, [_cells(run, zone) for run in runs])


def _facts(found: Registered) -> dict[str, Any]:
    """The job: what is always of interest, and `fields`, what else differs from the defaults."""
    job, pause = found.job, found.paused
    facts = {
        "id": job.id,
        "name": job.name,
        "enabled": job.enabled,
        "paused": pause is not None,
        "pause": pause and {"reason": pause.reason, "since": local(pause.since, job.timezone)},
        "schedule": job.expression,
        "timezone": job.timezone,
        "description": job.schedule.describe(),
    }
    fields: dict[str, Any] = json.loads(job.document())
    spec = fields.pop("schedule")
    fields = {name: fields[name] for name in fields if name not in (*facts, "written")}
    fields |= {name: spec[key] for key, name in _WINDOW.items() if key in spec}
    return facts | {"fields": fields, "warnings": job.warnings}


def _print_facts(facts: Mapping[str, Any]) -> None:
    click.secho(f"{facts['id']}  {printable(facts['name'])}", bold=True)
    shown = {name: facts[name] for name in facts if name not in ("id", "name", "fields")}
    console.print_facts(shown | facts["fields"])


def _cells(run: Mapping[str, Any], zone: str) -> list[str]:
    scheduled = local(datetime.fromisoformat(run["scheduled_for"]), zone) or ""
    if "until" in run:
        scheduled += f" until {local(datetime.fromisoformat(run['until']), zone)}"
    took = "" if run["duration"] is None else f"{run['duration']:g} s"
    why = run["reason"] or run["error"] or ""
    return [scheduled, run["status"], str(run["attempt"] or ""), took, run["worker"] or "", why]
