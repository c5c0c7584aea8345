"""`cron-tasks runs …`: the group, and `list`, `show`, `retry` and `cancel`."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import NoReturn

import click
from redis import Redis

from cron_tasks.cli import Commands, LazyGroup, console
from cron_tasks.cli.following import (
    LOOK_EVERY,
    ask_patiently,
    describe_outcome,
    describe_reason,
    select_fields,
    start_run,
    timeout_option,
    wait_option,
)
from cron_tasks.errors import CronTasksError, RunUnfit
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import commands, queries
from cron_tasks.schedules.human import format_local, format_runtime
from cron_tasks.settings import load
from cron_tasks.text.display import printable

EVER = datetime.min.replace(tzinfo=UTC)

COMMANDS: Commands = {
    "list": ("runs:list_runs", "List the runs, newest first. The default."),
    "show": ("runs:show", "Show everything about one run."),
    "retry": ("runs:retry", "Run a failed, skipped or missed run again."),
    "cancel": ("runs:cancel", "Cancel a run that waits, or stop one that runs."),
}


class _Runs(LazyGroup):
    """A group whose default command is `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*COMMANDS, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("runs", cls=_Runs, commands_at=COMMANDS, subcommand_metavar="[ID | COMMAND] …")
def runs() -> None:
    """Show the runs of a job or of all jobs, retry one, or cancel one.

    `runs`, `runs ID` and `runs --follow` are short for `runs list …`. See `runs list --help`.
    """


@click.command("list")
@click.argument("job_id", metavar="[ID]", required=False)
@click.option(
    "--status",
    type=click.Choice([*queries.OPEN, *queries.ENDED]),
    help="Only runs with this status.",
)
@click.option(
    "--since", metavar="TIME", help="Only runs that ended since: 30min, 2h, 1d (ago), or ISO 8601."
)
@click.option(
    "--follow", is_flag=True, help="Also show runs as they end, newest last, until Ctrl-C."
)
@click.option(
    "-n",
    "most",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=20,
    help="At most N runs; default 20.",
)
@console.json_option
def list_runs(
    job_id: str | None, status: str | None, since: str | None, follow: bool, most: int
) -> None:
    """List the runs of a job, or of all jobs: open runs first, then those that ended last.

    With --follow it lists only runs that have ended. With --json it then prints one object a line.
    """
    if follow and status in queries.OPEN:
        statuses = ", ".join(queries.ENDED)
        raise click.UsageError(f"--follow shows only runs that end: --status is one of {statuses}")
    with console.open_redis() as redis:
        zone = load().timezone if job_id is None else Registry(redis).get_job(job_id).timezone
        start = console.read_moment(since, zone, "--since") if since else EVER
        is_wanted = partial(_matches, job_id, status, start)
        if follow:
            _follow(redis, is_wanted, most)
        found: list[queries.Shape] = []
        if status not in queries.ENDED:
            found += queries.list_open(redis, most, job_id, status)
        if status not in queries.OPEN:
            ends = filter(is_wanted, queries.list_ended(redis, job_id, status))
            found += islice(ends, most - len(found))
    console.show(list(map(select_fields, found)), lambda: print_runs(found, zone))


def _matches(job_id: str | None, status: str | None, start: datetime, run: queries.Shape) -> bool:
    matches = job_id in (None, run["job_id"]) and status in (None, run["status"])
    return matches and datetime.fromisoformat(run["finished_at"]) >= start


def _follow(redis: Redis, is_wanted: Callable[[queries.Shape], bool], most: int) -> NoReturn:
    tail = queries.Tail(redis)
    fresh = list(filter(is_wanted, ask_patiently(tail.read)))[-most:]
    while True:
        for run in fresh:
            ended = run["finished_at"][:19] + "Z"
            text = f"{ended}  {run['run_id']}  {describe_outcome(run)}"
            console.show_line(select_fields(run), text)
        time.sleep(LOOK_EVERY)
        fresh = list(filter(is_wanted, ask_patiently(tail.read)))


def print_runs(found: Iterable[queries.Shape], zone: str) -> None:
    """Print runs as a table, with times in `zone`."""
    heading = ("run", "status", "attempt", "ended", "took", "worker", "reason")
    console.print_table(heading, [_cells(run, zone) for run in found])


def _cells(run: queries.Shape, zone: str) -> list[str]:
    head = [run["run_id"], run["status"], str(run["attempt"] or "")]
    ended, worker = _whole_second(run["finished_at"], zone), printable(run["worker"] or "")
    return [*head, ended, format_runtime(run["duration"]), worker, describe_reason(run)]


def _whole_second(moment: str | None, zone: str) -> str:
    """Return a time in `zone` without fractions of a second, or "" for None."""
    whole = moment and datetime.fromisoformat(moment).replace(microsecond=0)
    return format_local(whole, zone) or "" if whole else ""


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@console.json_option
def show(run_id: str) -> None:
    """Show everything about one run: its attempts, its output, and why it was skipped or missed."""
    with console.open_redis() as redis:
        asked_for = commands.read_run_id(run_id)
        found = queries.describe_run(redis, asked_for)
        try:
            job = Registry(redis).get_job(asked_for.job_id)
            name, zone = job.name, job.timezone
        except CronTasksError:
            if found is None:
                raise
            name, zone = None, "UTC"
    if found is None:
        raise RunUnfit(commands.not_found(asked_for))
    facts = {"run_id": asked_for, "job_id": asked_for.job_id, "job_name": name, **found}
    console.show(facts, lambda: _print_details(facts, zone))


def _print_details(run: queries.Shape, zone: str) -> None:
    facts = {name: run[name] for name in run if name not in ("attempts", "output")}
    lasted = format_runtime(run["duration"]) or None
    console.print_facts(facts | {"attempt": run["attempt"] or None, "duration": lasted})
    if attempts := run["attempts"]:
        click.echo()
        heading = ("attempt", "started", "ended", "took", "worker", "error")
        console.print_table(heading, [_attempt_cells(each, zone) for each in attempts])
    if output := run.get("output"):
        click.echo("\noutput:")
        click.echo("\n".join(printable(line, 1000) for line in output.splitlines()))


def _attempt_cells(attempt: queries.Shape, zone: str) -> list[str]:
    times = [_whole_second(attempt[name], zone) for name in ("started_at", "finished_at")]
    texts = [printable(attempt[name] or "") for name in ("worker", "error")]
    return [str(attempt["attempt"]), *times, format_runtime(attempt["duration"]), *texts]


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@wait_option
@timeout_option
@console.json_option
def retry(run_id: str, wait: bool, timeout: float | None) -> None:
    """Run a failed, skipped or missed run again, under the same run ID."""
    with console.open_redis() as redis:
        ledger = console.open_ledger(redis)
        asked_for, job = commands.reopen(redis, ledger, run_id, time.time())
        console.record_action(redis, "retry", asked_for)
        start_run(redis, job, asked_for, wait, timeout)


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@console.json_option
def cancel(run_id: str) -> None:
    """Cancel a run that waits for its time or a worker, or ask one that runs to stop.

    A run that runs ends within seconds. Either way it is then skipped, with the reason cancelled.
    """
    with console.open_redis() as redis:
        ledger = console.open_ledger(redis)
        has_ended = commands.cancel(redis, ledger, run_id, time.time(), load())
        console.record_action(redis, "cancel", run_id)
    state = "cancelled" if has_ended else "asked to stop"
    console.show(
        {"run_id": run_id, "state": state}, lambda: click.echo(f"Run {run_id} was {state}")
    )
