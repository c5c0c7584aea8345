"""`cron-tasks jobs list` and `jobs rejected`."""

import json
from collections.abc import Iterator
from typing import Any

import click
from redis import Redis

from cron_tasks.cli.output import json_option, print_json, print_table, progress
from cron_tasks.cli.services import open_redis
from cron_tasks.cli.times import local
from cron_tasks.ledger import Ledger
from cron_tasks.registry import Registered, Registry, pages
from cron_tasks.text import printable

#: From this many jobs on, a list takes long enough to show its progress.
MANY = 2000


@click.command("list")
@click.option("--tag", help="Only jobs with this tag.")
@json_option
def list_jobs(tag: str | None, as_json: bool) -> None:
    """List the jobs, with their next tick and the status of their last run."""
    with open_redis() as redis:
        rows = sorted(_rows(redis, tag), key=lambda row: _natural(row["id"]))
    if as_json:
        print_json(rows)
    else:
        heading = ("id", "name", "schedule", "timezone", "next", "last")
        print_table(heading, [_cells(row) for row in rows])


def _rows(redis: Redis, tag: str | None) -> Iterator[dict[str, Any]]:
    registry, ledger = Registry(redis), Ledger(redis)
    count, done = registry.count(), 0
    with progress("Reading the jobs", long=count > MANY) as update:
        for page in pages(registry.registered(unreadable=_warn)):
            newest = ledger.newest([each.job.id for each in page])
            done += len(page)
            update(done, count)
            for registered, record in zip(page, newest, strict=True):
                if tag is None or tag in registered.job.tags:
                    yield _row(registered, record)


def _row(registered: Registered, record: str | None) -> dict[str, Any]:
    job = registered.job
    return {
        "id": job.id,
        "name": job.name,
        "schedule": job.expression,
        "timezone": job.timezone,
        "enabled": job.enabled,
        "paused": False,
        "next": local(registered.next, job.timezone),
        "last_status": json.loads(record)["status"] if record else None,
    }


def _warn(job_id: str, reason: str) -> None:
    click.echo(f"Warning: job {job_id} is left out: {reason}", err=True)


def _natural(job_id: str) -> tuple[bool, int, str]:
    """Numbers in their order, then names."""
    number = job_id.isascii() and job_id.isdigit()
    return not number, int(job_id) if number else 0, job_id


def _cells(row: dict[str, Any]) -> list[str]:
    texts = [row["id"], printable(row["name"], 60), printable(row["schedule"], 60), row["timezone"]]
    upcoming = row["next"] or "never" if row["enabled"] else "disabled"
    return [*texts, upcoming, row["last_status"] or ""]


@click.command()
@json_option
def rejected(as_json: bool) -> None:
    """List the rows of the REST service that are no valid job, with every reason."""
    with open_redis() as redis:
        found = sorted(Registry(redis).rejected(), key=lambda each: _natural(each.id or ""))
    if as_json:
        print_json(
            [
                {"id": each.id, "place": each.place, "errors": each.errors, "row": each.row}
                for each in found
            ]
        )
        return
    rows = [
        (
            each.id or "",
            printable(each.place),
            printable(error, 400),
            printable(_json(each.row), 200),
        )
        for each in found
        for error in each.errors
    ]
    print_table(("id", "place", "error", "row"), rows)


def _json(row: Any) -> str:
    return "" if row is None else json.dumps(row, ensure_ascii=False)
