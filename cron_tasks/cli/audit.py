"""`cron-tasks audit`."""

import time
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from cron_tasks.audit.account_reader import PAGE, read_job_ids, read_open_ticks
from cron_tasks.audit.auditing import audit_page
from cron_tasks.audit.tally import Tally
from cron_tasks.cli import console, options
from cron_tasks.schedules.human import format_local
from cron_tasks.settings import load
from cron_tasks.store.paging import pages
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of

#: The most faults of each kind that are shown. JSON has all.
SHOWN = 50
FAULTS = ("lost", "doubled", "unasked")


@click.command("audit")
@options.time_option(
    "--since", "start", default="24h", show_default=True, text="Start of the period."
)
@console.json_option
@click.pass_context
def audit_command(ctx: click.Context, start: str) -> None:
    """Check that every tick that was due ended exactly once. Exits 1 if any did not.

    The ticks are computed from the schedules in force at the time, with every edit and pause.
    `lost` ticks never ended, `doubled` ticks ran twice, and `unasked` ticks ran although no
    schedule asked for them.
    """
    until, zone = float(int(time.time())), load().timezone
    begin = float(int(options.read_past(start, zone, "--since").timestamp()))
    with console.open_redis() as redis, console.show_progress("Auditing") as update:
        job_ids, opened = read_job_ids(redis), read_open_ticks(redis)
        tally, done = Tally(), 0
        for page in pages(job_ids, PAGE):
            tally.add(audit_page(redis, page, opened, begin, until))
            update(done := done + len(page), len(job_ids))
    shown = console.shown_zone(zone)
    facts = {"since": format_local(begin, shown), "until": format_local(until, shown)}
    facts |= asdict(tally)
    console.show(facts, lambda: _print(facts, zone))
    ctx.exit(1 if tally.has_faults else 0)


def _print(facts: dict[str, Any], zone: str) -> None:
    due = number_of(facts["expected"], "tick")
    was = "was" if facts["expected"] == 1 else "were"
    click.echo(f"{facts['since']} to {facts['until']}: {due} {was} due")
    rows = [("ok", f"{facts['ok']:,}"), ("failed", f"{facts['failed']:,}")]
    for status in ("skipped", "missed"):
        for reason, times in sorted(facts[status].items()):
            rows.append((f"{status}: {reason}", f"{times:,}"))
    rows.append(("open", f"{facts['open']:,}"))
    rows += [(kind, f"{len(facts[kind]):,}") for kind in FAULTS]
    console.print_table(("outcome", "ticks"), rows)
    for job_id, since in list(facts["known_from"].items())[:SHOWN]:
        known = format_local(datetime.fromisoformat(since), zone)
        click.echo(f"{printable(job_id)}: only ticks from {known} on were checked")
    for kind in FAULTS:
        for name in facts[kind][:SHOWN]:
            click.secho(f"{kind}: {printable(name)}", fg="red")
        if len(facts[kind]) > SHOWN:
            click.echo(f"… and {len(facts[kind]) - SHOWN:,} more. --json shows all")
