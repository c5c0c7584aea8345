"""`cron-tasks up`."""

from pathlib import Path

import click


@click.command()
@click.option("--demo", is_flag=True, help="Add a sample REST service and a printing bot.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    metavar="N",
    help="Number of Celery workers, with two processes each.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to keep data and logs; default: a folder that is deleted at the end.",
)
def up(demo: bool, workers: int, data: Path | None) -> None:
    """Run the whole system on this machine, until Ctrl-C.

    Starts an embedded Valkey (unless CRON_TASKS_REDIS_URL is set), beat, workers and Flower.
    CRON_TASKS_REST_URL is the service whose jobs run. --demo includes a sample service.
    """
    from cron_tasks.local.system import run_system
    from cron_tasks.settings import load

    run_system(load(), demo=demo, workers=workers, data=data)
