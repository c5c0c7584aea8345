"""`cron-tasks doctor`."""

import shutil
import sys

import click

from cron_tasks.cli import console
from cron_tasks.health.checks import run_checks
from cron_tasks.health.system import Finding
from cron_tasks.text.display import printable, wrap

#: Where the text of a finding begins.
_COLUMN = 25
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@console.json_option
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check settings, Redis, REST service, beat, workers and clock, and show how to fix problems.

    Exits 1 if a check failed. Warnings do not count.
    """
    with console.silence_logs():
        findings = console.show_each(run_checks(), as_json=Finding._asdict, as_text=_format)
    if any(finding.status == "fail" for finding in findings):
        ctx.exit(1)


def _format(finding: Finding) -> str:
    status = click.style(f"{finding.status:<4}", fg=_COLOURS[finding.status])
    text = f"{status}  {finding.check:<17}  {_in_column(printable(finding.detail, 500))}"
    if finding.mend:
        text += "\n" + " " * _COLUMN + click.style(_in_column(finding.mend), dim=True)
    return text


def _in_column(text: str) -> str:
    """Return `text` as lines that keep their column on a terminal."""
    if not sys.stdout.isatty():
        return text
    room = shutil.get_terminal_size().columns - _COLUMN
    return ("\n" + " " * _COLUMN).join(wrap(text, max(room, 20)))
