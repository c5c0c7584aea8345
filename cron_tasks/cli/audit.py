"""`cron-tasks audit`."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from redis import Redis

from cron_tasks.account import PAGE, Tally, audit, days_of, job_ids, read, read_open
from cron_tasks.cli import console
from cron_tasks.registry import pages
from cron_tasks.times import local

#: Losses shown; JSON has them all.
SHOWN = 50
#: A tick that ended while its job was read may seem lost; so such a job is read again.
LOOKS = 3


@click.command("audit")
@click.option("--since", "start", default="24h", show_default=True, help="A duration, or a time.")
@console.json_option
@click.pass_context
def audit_command(ctx: click.Context, start: str, as_json: bool) -> None:
    """Check that every tick that was due is accounted for; exit 1 if one is lost.

    Which ticks were due follows from the schedules as they were, with every edit and pause.
    """
    until = float(int(time.time()))
    begin = float(int(console.moment(start, "UTC", "--since").timestamp()))
    with console.open_redis() as redis, console.progress("Auditing") as update:
        ids, opened = job_ids(redis), read_open(redis)
        tally, done = Tally(), 0
        for page in pages(ids, PAGE):
            tally.add(_audited(redis, page, opened, begin, until))
            update(done := done + len(page), len(ids))
    facts = {"since": local(begin), "until": local(until), **asdict(tally)}
    if as_json:
        console.print_json(facts)
    else:
        _print(facts)
    ctx.exit(1 if tally.lost else 0)


def _audited(
    redis: Redis, page: Iterable[str], opened: dict[str, str], begin: float, until: float
) -> Tally:
    total = Tally()
    for look in range(LOOKS):
        suspect = []
        now = float(int(time.time()))
        for account in read(redis, page, days_of(begin, until), opened):
            tally = audit(account, begin, until, now)
            if tally.lost and look < LOOKS - 1:
                suspect.append(account.job_id)
            else:
                total.add(tally)
        if not suspect:
            break
        page, opened = suspect, read_open(redis)
    return total


def _print(facts: dict[str, Any]) -> None:
    click.echo(f"{facts['since']} to {facts['until']}: {facts['expected']:,} ticks were due")
    rows = [("ok", f"{facts['ok']:,}"), ("failed", f"{facts['failed']:,}")]
    for status in ("skipped", "missed"):
        for reason, times in sorted(facts[status].items()):
            rows.append((f"{status}: {reason}", f"{times:,}"))
    rows.append(("open", f"{facts['open']:,}"))
    rows.append(("lost", f"{len(facts['lost']):,}"))
    console.print_table(("outcome", "ticks"), rows)
    for name in facts["lost"][:SHOWN]:
        click.secho(f"lost: {name}", fg="red")
    if len(facts["lost"]) > SHOWN:
        click.echo(f"… and {len(facts['lost']) - SHOWN:,} more: see --json")
