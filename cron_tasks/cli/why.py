"""`cron-tasks why`."""

import time
from dataclasses import asdict

import click

from cron_tasks.audit.asking import explain_at
from cron_tasks.cli import console
from cron_tasks.text.display import printable


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
        try:
            answer = explain_at(redis, job_id, at, now)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="'--at'") from None
    console.show(
        {"id": job_id, "at": at, **asdict(answer)},
        lambda: click.echo(printable(answer.sentence, 2000)),
    )
