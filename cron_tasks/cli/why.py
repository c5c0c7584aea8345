"""`cron-tasks why`."""

import json
import time
from dataclasses import asdict

import click

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import explain_tick
from cron_tasks.cli import console, options
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.human import format_local
from cron_tasks.store import keys
from cron_tasks.text.display import printable


@click.command("why")
@click.argument("job_id", metavar="ID")
@options.time_option("--at", required=True, text="The fire time.")
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
        when = options.read_moment(at, zone, "--at").timestamp()
        days = days_between(when, when)
        (found,) = read_accounts(redis, [job_id], days, read_open_ticks(redis))
        to_skip = redis.zscore(keys.SKIPS, RunId(job_id, when)) is not None
        history = [json.loads(line) for line in console.open_ledger(redis).history(job_id)]
    runs = {run["run_id"]: run for run in history if "run_id" in run}
    answer = explain_tick(found, runs, when, now, zone, to_skip)
    console.show(
        {"id": job_id, "at": format_local(when), **asdict(answer)},
        lambda: click.echo(printable(answer.sentence, 2000)),
    )
