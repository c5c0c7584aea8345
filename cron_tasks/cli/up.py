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
    help="Celery workers.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    metavar="N",
    help="Processes of each worker.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where data and logs are kept; by default a folder that is deleted at the end.",
)
@click.option(
    "--jobs",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Jobs of the sample REST service, made if there is none; goes with --demo.",
)
@click.option(
    "--flower-port",
    type=click.IntRange(1, 65_000),
    default=5555,
    show_default=True,
    metavar="PORT",
    help="Of Flower; the next free one if it is taken.",
)
@click.pass_context
def up(
    ctx: click.Context,
    demo: bool,
    workers: int,
    concurrency: int,
    data: Path | None,
    jobs: Path | None,
    flower_port: int,
) -> None:
    """Run the whole system on this machine, until Ctrl-C.

    An embedded Valkey (unless CRON_TASKS_REDIS_URL is set), beat, workers and Flower. With --demo
    nothing has to be set; without it, CRON_TASKS_REST_URL says whose jobs to run.
    """
    from cron_tasks.settings import load
    from cron_tasks.stack.parts import Options
    from cron_tasks.stack.system import up as run

    if jobs and not demo:
        raise click.UsageError("--jobs goes with --demo")
    ctx.exit(run(Options(demo, workers, concurrency, data, jobs, flower_port), load()))
