"""`cron-tasks settings`."""

import click

from cron_tasks.cli import console
from cron_tasks.settings import load


@click.command()
@console.json_option
def settings() -> None:
    """Show all settings: value (secrets masked), origin and meaning.

    Settings are read from the environment, then from .env, then from a folder of secret files. All
    wrong settings are reported at once.
    """
    loaded = load()
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
    rows = loaded.rows()
    heading = ("variable", "value", "origin", "meaning")
    console.show([row._asdict() for row in rows], lambda: console.print_table(heading, rows))
