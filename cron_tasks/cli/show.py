"""`cron-tasks jobs show`."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from cron_tasks.cli.output import json_option, print_json, print_lines, print_table
from cron_tasks.cli.services import open_redis
from cron_tasks.cli.times import duration, local, tick_cells, ticks
from cron_tasks.jobs import Job
from cron_tasks.ledger import Ledger
from cron_tasks.registry import Registered, Registry
from cron_tasks.text import printable

TICKS = 5
_SHOWN = frozenset({"id", "name", "enabled", "written"})
#: Parts of a schedule's spec that are no part of its text.
_WINDOW = {"s": "start_at", "u": "end_at", "x": "exclude", "j": "shifted_by"}


@click.command()
@click.argument("job_id", metavar="ID")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Show one job: what it says, its next ticks and its last runs."""
    with open_redis() as redis:
        registry = Registry(redis)
        registry.job(job_id)
        registered = next(registry.registered([job_id], unreadable=_refuse))
        runs = [_run(json.loads(record)) for record in Ledger(redis).history(job_id)]
    now = datetime.fromtimestamp(time.time(), UTC)
    upcoming = ticks(registered.job.schedule, now, TICKS) if registered.job.enabled else []
    if as_json:
        print_json(_json(registered, upcoming, runs))
    else:
        _print(registered, upcoming, runs, now)


def _refuse(job_id: str, reason: str) -> None:
    mend = "`cron-tasks doctor` says how to mend it"
    raise click.ClickException(f"job {job_id} cannot be read: {reason}; {mend}")


def _run(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the history with times as text and its duration in seconds."""
    started, finished = record["started_at"], record["finished_at"]
    lasted = None if started is None or finished is None else round(finished - started, 3)
    times = {"started_at": local(started, "UTC"), "finished_at": local(finished, "UTC")}
    return {**record, **times, "duration": lasted}


def _json(
    registered: Registered, upcoming: list[datetime], runs: list[dict[str, Any]]
) -> dict[str, Any]:
    job = registered.job
    return {
        "id": job.id,
        "name": job.name,
        "enabled": job.enabled,
        "paused": False,
        "schedule": job.expression,
        "timezone": job.timezone,
        "description": job.schedule.describe(),
        "fields": _fields(job),
        "next": [local(tick, job.timezone) for tick in upcoming],
        "entry": {
            "last_run_at": local(registered.last, "UTC"),
            "total_run_count": registered.runs,
        },
        "not_yet_in_effect": job.not_yet,
        "warnings": job.warnings,
        "runs": runs,
    }


def _fields(job: Job) -> dict[str, Any]:
    """What the job says beside what is shown anyway, where it differs from the defaults."""
    said: dict[str, Any] = json.loads(job.document())
    spec = said.pop("schedule")
    window = {name: spec[key] for key, name in _WINDOW.items() if key in spec}
    return window | {name: said[name] for name in said if name not in _SHOWN}


def _print(
    registered: Registered, upcoming: list[datetime], runs: list[dict[str, Any]], now: datetime
) -> None:
    print_lines(_facts(registered, now))
    if upcoming:
        click.echo()
        zone = registered.job.timezone
        print_table(("next", "day", "away"), [tick_cells(tick, zone, now) for tick in upcoming])
    if runs:
        click.echo()
        print_table(
            ("scheduled for", "status", "attempt", "took", "worker", "reason"),
            [_run_cells(run, registered.job.timezone) for run in runs],
        )


def _facts(registered: Registered, now: datetime) -> Iterator[str]:
    job = registered.job
    yield click.style(f"{job.id}  {printable(job.name)}", bold=True)
    facts = {"schedule": job.expression, "in words": job.schedule.describe()}
    facts["enabled"] = "yes" if job.enabled else "no: it has no ticks until it is enabled"
    facts |= {name: _text(value) for name, value in _fields(job).items()}
    facts["fired"] = f"{registered.runs} times"
    if registered.last is not None:
        ago = duration(now.timestamp() - registered.last)
        facts["counted from"] = f"{local(registered.last, job.timezone)}, {ago} ago"
    facts |= {"not yet in effect": ", ".join(job.not_yet), "warning": "; ".join(job.warnings)}
    for name, text in facts.items():
        if text:
            yield f"{name:<18} {printable(text, 1000)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _run_cells(run: Mapping[str, Any], zone: str) -> list[str]:
    scheduled = local(datetime.fromisoformat(run["scheduled_for"]), zone) or ""
    if "until" in run:
        scheduled += f" until {local(datetime.fromisoformat(run['until']), zone)}"
    took = "" if run["duration"] is None else f"{run['duration']:g} s"
    why = run["reason"] or run["error"] or ""
    return [scheduled, run["status"], str(run["attempt"] or ""), took, run["worker"] or "", why]
