"""`cron-tasks runs …`: what ran, what runs, and a run once more or no more."""

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import NoReturn

import click
from redis import Redis

from cron_tasks.cli import Commands, LazyGroup, console
from cron_tasks.cli.following import LOOK_EVERY, begin, listed, outcome, patiently, wait_option, why
from cron_tasks.errors import CronTasksError, RunUnfit
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import commands
from cron_tasks.runs import queries as stored
from cron_tasks.schedules.human import format_local, format_runtime
from cron_tasks.settings import load
from cron_tasks.text.display import printable

EVER = datetime.min.replace(tzinfo=UTC)

COMMANDS: Commands = {
    "list": ("runs:list_runs", "List the runs, newest first; what `runs` does by itself."),
    "show": ("runs:show", "Show everything about one run."),
    "retry": ("runs:retry", "Run one that failed, was skipped or missed again."),
    "cancel": ("runs:cancel", "End a run that waits, or stop one that is going."),
}


class _Runs(LazyGroup):
    """Without a command's name it lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*COMMANDS, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("runs", cls=_Runs, commands_at=COMMANDS, subcommand_metavar="[ID | COMMAND] …")
def runs() -> None:
    """Look at the runs of a job or of all, run one again, or end one.

    `runs`, `runs ID` and `runs --follow` are `runs list …`, whose --help tells the options.
    """


@click.command("list")
@click.argument("job_id", metavar="[ID]", required=False)
@click.option("--status", type=click.Choice([*stored.OPEN, *stored.ENDED]), help="Only these.")
@click.option("--since", metavar="TIME", help="What ended since: 30min, 2h, 1d, or ISO 8601.")
@click.option("--follow", is_flag=True, help="Go on with what ends, until Ctrl-C; newest last.")
@click.option(
    "-n",
    "most",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=20,
    help="At most so many; default 20.",
)
@console.json_option
def list_runs(
    job_id: str | None,
    status: str | None,
    since: str | None,
    follow: bool,
    most: int,
    as_json: bool,
) -> None:
    """List the runs of a job, or of all jobs: those that are open, then those that ended last.

    With --follow only ends, and with --json one object a line.
    """
    if follow and status in stored.OPEN:
        ended = ", ".join(stored.ENDED)
        raise click.UsageError(f"--follow tells of runs that end: --status is one of {ended}")
    with console.open_redis() as redis:
        zone = load().timezone if job_id is None else Registry(redis).job(job_id).timezone
        start = console.moment(since, zone, "--since") if since else EVER
        wanted = partial(_wanted, job_id, status, start)
        if follow:
            _follow(redis, wanted, most, as_json)
        found = stored.still_open(redis, most, job_id, status) if status not in stored.ENDED else []
        if status not in stored.OPEN:
            ends = filter(wanted, stored.ended(redis, job_id, status))
            found += islice(ends, most - len(found))
    if as_json:
        console.print_json(list(map(listed, found)))
    else:
        print_runs(found, zone)


def _wanted(job_id: str | None, status: str | None, start: datetime, run: stored.Shape) -> bool:
    alike = job_id in (None, run["job_id"]) and status in (None, run["status"])
    return alike and datetime.fromisoformat(run["finished_at"]) >= start


def _follow(
    redis: Redis, wanted: Callable[[stored.Shape], bool], most: int, as_json: bool
) -> NoReturn:
    tail = stored.Tail(redis)
    fresh = list(filter(wanted, patiently(tail.read)))[-most:]
    while True:
        for run in fresh:
            ended = run["finished_at"][:19] + "Z"
            text = f"{ended}  {run['run_id']}  {outcome(run)}"
            click.echo(json.dumps(listed(run)) if as_json else text)
        time.sleep(LOOK_EVERY)
        fresh = list(filter(wanted, patiently(tail.read)))


def print_runs(found: Iterable[stored.Shape], zone: str) -> None:
    """Print runs as a table, their ends in `zone`."""
    heading = ("run", "status", "attempt", "ended", "took", "worker", "reason")
    console.print_table(heading, [_cells(run, zone) for run in found])


def _cells(run: stored.Shape, zone: str) -> list[str]:
    head = [run["run_id"], run["status"], str(run["attempt"] or "")]
    ended, worker = _second(run["finished_at"], zone), printable(run["worker"] or "")
    return [*head, ended, format_runtime(run["duration"]), worker, why(run)]


def _second(moment: str | None, zone: str) -> str:
    """A time to the second in `zone`."""
    whole = moment and datetime.fromisoformat(moment).replace(microsecond=0)
    return format_local(whole, zone) or "" if whole else ""


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@console.json_option
def show(run_id: str, as_json: bool) -> None:
    """Show everything about one run: each attempt, what it put out, what was in its way."""
    with console.open_redis() as redis:
        asked_for = commands.read_run_id(run_id)
        found = stored.details(redis, asked_for)
        try:
            job = Registry(redis).job(asked_for.job_id)
            name, zone = job.name, job.timezone
        except CronTasksError:
            if found is None:
                raise
            name, zone = None, "UTC"
    if found is None:
        raise RunUnfit(commands.not_found(asked_for))
    found = {"run_id": asked_for, "job_id": asked_for.job_id, "job_name": name, **found}
    if as_json:
        console.print_json(found)
        return
    attempts, output = found.pop("attempts"), found.pop("output", None)
    lasted = format_runtime(found["duration"]) or None
    console.print_facts(found | {"attempt": found["attempt"] or None, "duration": lasted})
    if attempts:
        click.echo()
        heading = ("attempt", "started", "ended", "took", "worker", "error")
        console.print_table(heading, [_attempt_cells(each, zone) for each in attempts])
    if output:
        click.echo("\noutput:")
        click.echo("\n".join(printable(line, 1000) for line in output.splitlines()))


def _attempt_cells(attempt: stored.Shape, zone: str) -> list[str]:
    times = [_second(attempt[name], zone) for name in ("started_at", "finished_at")]
    said = [printable(attempt[name] or "") for name in ("worker", "error")]
    return [str(attempt["attempt"]), *times, format_runtime(attempt["duration"]), *said]


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@wait_option
@console.json_option
def retry(run_id: str, wait: bool, as_json: bool) -> None:
    """Run one that ended as failed, skipped or missed again, under the same id."""
    with console.open_redis() as redis:
        ledger = console.open_ledger(redis)
        asked_for, job = commands.reopen(redis, ledger, run_id, time.time())
        begin(redis, job, asked_for, wait, as_json)


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@console.json_option
def cancel(run_id: str, as_json: bool) -> None:
    """End a run that waits for its time or a worker, or tell one that is going to stop.

    What is going ends within seconds; it is then skipped, reason cancelled, like what waited.
    """
    with console.open_redis() as redis:
        ledger = console.open_ledger(redis)
        over = commands.cancel(redis, ledger, run_id, time.time(), load())
    if as_json:
        console.print_json({"run_id": run_id, "state": "cancelled" if over else "asked to stop"})
    else:
        click.echo("cancelled" if over else "asked to stop")
