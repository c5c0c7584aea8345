"""`cron-tasks jobs …`."""

import click

from cron_tasks.cli import Commands, LazyGroup

COMMANDS: Commands = {
    "list": ("cron_tasks.cli.listing:list_jobs", "List the jobs with next tick and last status."),
    "show": ("cron_tasks.cli.show:show", "Show one job, its next ticks and its last runs."),
    "rejected": (
        "cron_tasks.cli.listing:rejected",
        "List the rows that are no job, and why.",
    ),
    "run": ("cron_tasks.cli.run:run", "Run a job now, and print the id of the run."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def jobs() -> None:
    """Look at the jobs, or run one by hand."""
