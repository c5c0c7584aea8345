"""`cron-tasks jobs run`."""

import time

import click

from cron_tasks import names
from cron_tasks.cli.output import json_option, print_json
from cron_tasks.cli.services import celery_app, no_log_lines, open_redis
from cron_tasks.ledger import Ledger
from cron_tasks.registry import Registry, routing
from cron_tasks.runner import open_by_hand


@click.command()
@click.argument("job_id", metavar="ID")
@json_option
def run(job_id: str, as_json: bool) -> None:
    """Run a job now, whatever its schedule says, and print the id of the run.

    The run waits until a worker takes it.
    """
    with open_redis() as redis:
        job = Registry(redis).job(job_id)
        run_id = open_by_hand(Ledger(redis), job, time.time())
    with no_log_lines():
        celery_app().send_task(names.RUN_TASK, [job_id], task_id=run_id, **routing(job))
    if as_json:
        print_json({"run_id": run_id, "job_id": job_id})
    else:
        click.echo(run_id)
