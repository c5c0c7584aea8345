"""`cron-tasks why`."""

import time
from dataclasses import asdict

import click

from cron_tasks.audit.asking import explain_at
from cron_tasks.cli import console, options
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.human import format_local
from cron_tasks.settings import load
from cron_tasks.text.display import printable
from cron_tasks.text.trace_ids import trace_id_of


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
    trace_id = trace_id_of(RunId(job_id, when)) if answer.status else None
    link = load().link_trace(trace_id) if trace_id else None
    facts = {"id": job_id, "at": format_local(when), **asdict(answer)}

    def print_text() -> None:
        click.echo(printable(answer.sentence, 2000))
        if link:
            click.echo(f"Trace: {link}")

    console.show(facts | {"trace_id": trace_id, "trace_url": link}, print_text)
