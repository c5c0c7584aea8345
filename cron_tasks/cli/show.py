"""`cron-tasks jobs show`."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from redis import Redis

from cron_tasks.cli import console
from cron_tasks.cli.run_text import print_runs
from cron_tasks.jobs.confidential import mask_job
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.history import split_runs
from cron_tasks.registry.registry import RegisteredJob, Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.runs import queries
from cron_tasks.runs.outgrown import find_outgrown
from cron_tasks.runs.shapes import read_records
from cron_tasks.schedules.human import format_local
from cron_tasks.text.display import printable

#: How many of the next ticks are shown.
TICKS = 5
#: The most open runs that are shown.
RUNS = 20
#: Parts of a schedule's spec that its text does not show.
_WINDOW = {"s": "start_at", "u": "end_at", "x": "exclude", "j": "shifted_by"}


@click.command()
@click.argument("job_id", metavar="ID")
@console.json_option
def show(job_id: str) -> None:
    """Show one job: its fields, its next ticks, its open runs, and its last runs."""
    with console.open_redis() as redis:
        registry = Registry(redis)
        (found,) = registry.read_jobs([registry.get_job(job_id).id])
        facts = _describe_job(found) | _read_obstacles(redis, found)
        opened = [
            queries.describe_run(redis, run["run_id"]) or run
            for run in queries.list_open(redis, RUNS, job_id)
        ]
        history = console.open_ledger(redis).history(job_id)
    job = found.job
    ended = list(read_records(history))
    outgrown = find_outgrown(split_runs(history), job.schedule, time.time())
    facts["warnings"] = [*facts["warnings"], *([outgrown.sentence] if outgrown else [])]
    now, zone = datetime.now(UTC), job.timezone
    ticks = []
    if found.due is not None:
        start = datetime.fromtimestamp(found.due, UTC)
        ticks = console.list_ticks(job.schedule, start, TICKS, found.skips)
    upcoming = [format_local(tick) for tick in console.drop_skips(ticks, found.skips)]

    def print_text() -> None:
        _print_facts(facts)
        if ticks:
            click.echo()
            console.print_ticks(ticks, zone, now, found.skips)
        if opened or ended:
            click.echo()
            print_runs(opened + ended, zone)

    console.show(facts | {"next": upcoming, "open": opened, "runs": ended}, print_text)


def _describe_job(found: RegisteredJob) -> dict[str, Any]:
    """Return the facts shown of every job, and `fields`: the others that are not defaults."""
    job, pause = found.job, found.paused
    facts = {
        "id": job.id,
        "name": job.name,
        "enabled": job.enabled,
        "paused": pause is not None,
        "pause": pause and {"reason": pause.reason, "since": format_local(pause.since, _zone(job))},
        "schedule": job.expression,
        "timezone": job.timezone,
        "description": job.schedule.describe(),
    }
    fields: dict[str, Any] = json.loads(job.to_document())
    spec = fields.pop("schedule")
    fields = {name: fields[name] for name in fields if name not in (*facts, "written")}
    fields |= {name: spec[key] for key, name in _WINDOW.items() if key in spec}
    return facts | {"fields": mask_job(fields), "warnings": job.warnings}


def _read_obstacles(redis: Redis, found: RegisteredJob) -> dict[str, Any]:
    """Return what keeps the job from running according to its row.

    - `rejected`: the errors of its current row. The job is then the last good version.
    - `skips`: the coming ticks that are to be skipped.
    """
    job_id, zone = found.job.id, _zone(found.job)
    ahead = found.coming_skips(time.time())
    errors = [each.errors for each in read_rejected(redis) if each.id == job_id]
    return {"rejected": sum(errors, ()), "skips": tuple(format_local(tick, zone) for tick in ahead)}


def _zone(job: Job) -> str:
    return console.shown_zone(job.timezone)


def _print_facts(facts: Mapping[str, Any]) -> None:
    click.secho(f"{facts['id']}  {printable(facts['name'])}", bold=True)
    shown = {name: facts[name] for name in facts if name not in ("id", "name", "fields", "pause")}
    if pause := facts["pause"]:
        shown["paused"] = f"since {pause['since'][:19]}{pause['since'][-6:]}: {pause['reason']}"
    if facts["rejected"]:
        errors = "; ".join(facts["rejected"])
        shown["rejected"] = f"the current row. The last good version stays in force: {errors}"
    console.print_facts(shown | facts["fields"])
