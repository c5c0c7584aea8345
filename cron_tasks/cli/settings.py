"""`cron-tasks settings`."""

import click

from cron_tasks.cli import console
from cron_tasks.settings import load


@click.command()
@console.json_option
def settings(as_json: bool) -> None:
    """Show all settings: value (secrets masked), origin and meaning.

    They are read from the environment, then from .env, then from a folder of secret files. All
    that are wrong are reported at once.
    """
    loaded = load()
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        console.print_json([row._asdict() for row in loaded.rows()])
    else:
        console.print_table(("variable", "value", "origin", "meaning"), loaded.rows())
