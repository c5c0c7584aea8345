"""`cron-tasks why`."""

import time
from dataclasses import asdict

import click

from cron_tasks.audit.asking import explain_at
from cron_tasks.cli import console, options
from cron_tasks.schedules.human import format_local
from cron_tasks.text.display import printable


@click.command("why")
@click.argument("job_id", metavar="ID")
@options.time_option("--at", required=True, text="The fire time.")
@console.json_option
def why_command(job_id: str, at: str) -> None:
    """Explain in one sentence what happened to a job at a time, or what will happen."""
    now = time.time()
    with console.open_redis() as redis:
        when, answer = explain_at(
            redis, job_id, lambda zone: options.read_moment(at, zone, "--at").timestamp(), now
        )
    console.show(
        {"id": job_id, "at": format_local(when), **asdict(answer)},
        lambda: click.echo(printable(answer.sentence, 2000)),
    )
