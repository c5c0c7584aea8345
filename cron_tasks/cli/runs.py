"""`cron-tasks runs …`: the group, and `list`, `show`, `retry` and `cancel`."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import NoReturn

import click
from click.shell_completion import CompletionItem
from redis import Redis

from cron_tasks.cli import ALIASES, Commands, LazyGroup, console, options
from cron_tasks.cli.following import (
    LOOK_EVERY,
    ask_patiently,
    select_fields,
    start_run,
    timeout_option,
    wait_option,
)
from cron_tasks.cli.run_text import format_end, print_runs, read_jobs_of
from cron_tasks.errors import CronTasksError, RunUnfit, UnknownJob
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import commands, queries
from cron_tasks.runs.shapes import Shape
from cron_tasks.runs.tail import Tail
from cron_tasks.runs.wording import describe_summary, whole_second
from cron_tasks.schedules.human import format_local, format_runtime
from cron_tasks.settings import load
from cron_tasks.text.display import printable
from cron_tasks.text.english import join_words
from cron_tasks.text.suggestions import find_nearest, suggest_nearest
from cron_tasks.text.trace_ids import trace_id_of

EVER = datetime.min.replace(tzinfo=UTC)
#: Fields of a run that are times.
_TIMES = (
    *("scheduled_for", "since", "until", "started_at", "finished_at"),
    *("deadline", "retry_at"),
)

#: The note about a run of which at most a summary is kept.
_SUMMARISED = (
    "The job fires more than once a minute, so its ok runs are kept as one summary a minute."
)

COMMANDS: Commands = {
    "list": ("runs:list_runs", "List the runs, newest first. The default."),
    "show": ("runs:show", "Show everything about one run."),
    "retry": ("runs:retry", "Run a failed, skipped or missed run again."),
    "cancel": ("runs:cancel", "Cancel a waiting run, or stop a running one."),
}


class _Runs(LazyGroup):
    """A group whose default command is `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not self._begins_with_command(args, ctx):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def _begins_with_command(self, args: Sequence[str], ctx: click.Context) -> bool:
        """Return whether the first argument names a command, perhaps a wrong one: `shw RUN_ID`."""
        if not args:
            return ctx.resilient_parsing  # a shell asks for commands, too
        is_known = args[0] in (*COMMANDS, *ALIASES, *ctx.help_option_names)
        has_id = len(args) > 1 and not any(each.startswith("-") for each in args[:2])
        return is_known or (has_id and bool(suggest_nearest(args[0], COMMANDS)))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands, and what `list` takes."""
        found = super().shell_complete(ctx, incomplete)
        with click.Context(list_runs, ctx, "list", resilient_parsing=True) as inner:
            more = list_runs.shell_complete(inner, incomplete)
        return list({each.value: each for each in [*found, *more]}.values())


@click.group("runs", cls=_Runs, commands_at=COMMANDS, subcommand_metavar="[ID | COMMAND] …")
def runs() -> None:
    """Show the runs of a job or of all jobs, retry one, or cancel one.

    `runs`, `runs ID` and `runs --follow` are short for `runs list …`. See `runs list --help`.
    """


@click.command("list")
@click.argument("job_id", metavar="[ID]", required=False)
@click.option(
    "--status",
    type=options.Name([*queries.OPEN, *queries.ENDED]),
    help="Only runs with this status.",
)
@options.time_option("--since", text="Only runs that ended after this time.")
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
        statuses = join_words(queries.ENDED, "or")
        raise click.UsageError(f"--follow shows only runs that have ended. Use --status {statuses}")
    with console.open_redis() as redis:
        zone = load().timezone if job_id is None else _zone_of(redis, job_id)
        start = options.read_past(since, zone, "--since") if since else EVER
        is_wanted = partial(_matches, job_id, status, start)
        if follow:
            _follow(redis, is_wanted, most, zone)
        found: list[Shape] = []
        if status not in queries.ENDED:
            found += queries.list_open(redis, most, job_id, status)
        if status not in queries.OPEN:
            ends = filter(is_wanted, queries.list_ended(redis, job_id, status))
            found += islice(ends, most - len(found))
        jobs = {} if console.wants_json() else read_jobs_of(redis, found)
    none = "no run matches" if job_id or status or since else "nothing has run yet"
    console.show(list(map(select_fields, found)), lambda: print_runs(found, zone, jobs, none))


def _zone_of(redis: Redis, job_id: str) -> str:
    """Return the zone of a job. Raises UnknownJob, which may name a command that was meant."""
    try:
        return Registry(redis).get_job(job_id).timezone
    except UnknownJob as error:
        if (near := find_nearest(job_id, COMMANDS, 0.6)) is None:
            raise
        raise UnknownJob(f"{error}. Did you mean the command `cron-tasks runs {near}`?") from None


def _matches(job_id: str | None, status: str | None, start: datetime, run: Shape) -> bool:
    matches = job_id in (None, run["job_id"]) and status in (None, run["status"])
    return matches and datetime.fromisoformat(run["finished_at"]) >= start


def _follow(redis: Redis, is_wanted: Callable[[Shape], bool], most: int, zone: str) -> NoReturn:
    tail = Tail(redis)
    fresh = list(filter(is_wanted, ask_patiently(tail.read)))[-most:]
    while True:
        jobs = {} if console.wants_json() else ask_patiently(partial(read_jobs_of, redis, fresh))
        for run in fresh:
            console.show_line(select_fields(run), format_end(run, jobs, zone))
        time.sleep(LOOK_EVERY)
        console.check_reader()
        fresh = list(filter(is_wanted, ask_patiently(tail.read)))


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
            name, zone, is_quick = job.name, job.timezone, job.schedule.is_quick
        except CronTasksError:
            if found is None:
                raise
            name, zone, is_quick = None, "UTC", False
    if found is None:
        raise RunUnfit(commands.not_found(asked_for) + (f". {_SUMMARISED}" if is_quick else ""))
    trace_id = trace_id_of(queries.name_traced(asked_for, found))
    facts = {
        **{"run_id": asked_for, "job_id": asked_for.job_id, "job_name": name, **found},
        **{"trace_id": trace_id, "trace_url": load().link_trace(trace_id)},
    }
    console.show(facts, lambda: _print_details(facts, zone))


def _print_details(run: Shape, zone: str) -> None:
    facts = {name: run[name] for name in run if name not in ("attempts", "output", "minute")}
    times = {
        name: format_local(datetime.fromisoformat(facts[name]), zone)
        for name in _TIMES
        if facts.get(name)
    }
    lasted = format_runtime(run["duration"]) or None
    console.print_facts(facts | times | {"attempt": run["attempt"] or None, "duration": lasted})
    if minute := run.get("minute"):
        click.echo(f"\n{_SUMMARISED} The summary for this run: {describe_summary(minute)}.")
    if attempts := run["attempts"]:
        click.echo()
        heading = ("attempt", "started", "ended", "took", "worker", "error")
        console.print_table(heading, [_attempt_cells(each, zone) for each in attempts])
    if output := run.get("output"):
        click.echo("\noutput:")
        click.echo("\n".join(printable(line, 1000) for line in output.splitlines()))


def _attempt_cells(attempt: Shape, zone: str) -> list[str]:
    times = [whole_second(attempt[name], zone) for name in ("started_at", "finished_at")]
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
    """Cancel a run that waits for its time or a worker, or ask a running one to stop.

    A running run ends within seconds. In both cases the run is then skipped, with the reason
    cancelled.
    """
    with console.open_redis() as redis:
        ledger = console.open_ledger(redis)
        has_ended = commands.cancel(redis, ledger, run_id, time.time(), load())
        console.record_action(redis, "cancel", run_id)
    state = "cancelled" if has_ended else "asked to stop"
    console.show(
        {"run_id": run_id, "state": state}, lambda: click.echo(f"Run {run_id} was {state}")
    )
