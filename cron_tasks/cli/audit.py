"""`cron-tasks audit`."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from redis import Redis

from cron_tasks.audit.account import PAGE, Tally, audit, days_of, job_ids, read, read_open
from cron_tasks.cli import console
from cron_tasks.schedules.human import format_local
from cron_tasks.store.paging import pages
from cron_tasks.text.display import printable

#: Of what is wrong so many are shown; JSON has all.
SHOWN = 50
WRONG = ("lost", "doubled", "unasked")


@click.command("audit")
@click.option("--since", "start", default="24h", show_default=True, help="A duration, or a time.")
@console.json_option
@click.pass_context
def audit_command(ctx: click.Context, start: str, as_json: bool) -> None:
    """Check that every tick that was due ended, once; exit 1 if one is lost or ran twice.

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
    facts = {"since": format_local(begin), "until": format_local(until), **asdict(tally)}
    if as_json:
        console.print_json(facts)
    else:
        _print(facts)
    ctx.exit(1 if tally.wrong else 0)


def _audited(
    redis: Redis, page: Iterable[str], opened: dict[str, str], begin: float, until: float
) -> Tally:
    """Judge a page of jobs.

    A tick that ends while its job is read may seem lost, or to have run twice; so a job with such a
    tick is read again, all of it at one instant.
    """
    total, suspect, days = Tally(), list[str](), days_of(begin, until)
    now = float(int(time.time()))
    for account in read(redis, page, days, opened):
        tally = audit(account, begin, until, now)
        if tally.wrong:
            suspect.append(account.job_id)
        else:
            total.add(tally)
    now = float(int(time.time()))
    for account in read(redis, suspect, days):
        total.add(audit(account, begin, until, now))
    return total


def _print(facts: dict[str, Any]) -> None:
    click.echo(f"{facts['since']} to {facts['until']}: {facts['expected']:,} ticks were due")
    rows = [("ok", f"{facts['ok']:,}"), ("failed", f"{facts['failed']:,}")]
    for status in ("skipped", "missed"):
        for reason, times in sorted(facts[status].items()):
            rows.append((f"{status}: {reason}", f"{times:,}"))
    rows.append(("open", f"{facts['open']:,}"))
    rows += [(kind, f"{len(facts[kind]):,}") for kind in WRONG]
    console.print_table(("outcome", "ticks"), rows)
    for job_id, since in list(facts["known_from"].items())[:SHOWN]:
        click.echo(f"{printable(job_id)}: how its ticks ended is known from {since} on")
    for kind in WRONG:
        for name in facts[kind][:SHOWN]:
            click.secho(f"{kind}: {printable(name)}", fg="red")
        if len(facts[kind]) > SHOWN:
            click.echo(f"… and {len(facts[kind]) - SHOWN:,} more: see --json")
