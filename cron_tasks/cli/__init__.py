"""`cron-tasks`: the command line, and `celery -A cron_tasks cron-tasks`, which is the same group.

Celery imports this module for each of its own commands, and `cron-tasks next` has to answer at
once. So this module imports only click, and imports a command when it is called.
"""

import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

#: Command names, each with its place in this package and its line in `--help`.
Commands = Mapping[str, tuple[str, str]]

COMMANDS: Commands = {
    "up": ("up:up", "Run the whole system on this machine."),
    "sync": ("sync:sync", "Read the list of the REST service now, and apply it."),
    "jobs": ("jobs:jobs", "Show the jobs, run one now, or pause one."),
    "runs": ("runs:runs", "Show the runs, retry one, or cancel one."),
    "why": ("why:why_command", "Explain what happened to a job at a time."),
    "audit": ("audit:audit_command", "Check that every tick that was due ended exactly once."),
    "backfill": ("backfill:backfill", "Run the ticks of a past period that did not run."),
    "next": ("next:next_ticks", "Show the next ticks of an expression or a job."),
    "health": ("health:health", "Print one line for probes: whether the system works."),
    "settings": ("settings:settings", "Show all settings and where each value comes from."),
    "doctor": ("doctor:doctor", "Check the whole system, and show how to fix problems."),
}
#: Other names of commands, which `--help` does not list.
ALIASES = {"ls": "list"}


class WrongUsage(click.ClickException):
    """The arguments are wrong. Its text is one sentence."""

    exit_code = 2


@contextmanager
def usage_in_one_sentence() -> Iterator[None]:
    """Raise WrongUsage for wrong usage. click would print the usage of the command before it."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        text = error.format_message().rstrip(".")
        if error.ctx and not text.endswith("?"):
            text = f"{text}. See `{error.ctx.command_path} --help`"
        raise WrongUsage(text) from None


@contextmanager
def failures_in_one_sentence() -> Iterator[None]:
    """Raise ClickException with one sentence for a failure that can be explained."""
    try:
        yield
    except Exception as error:
        from cron_tasks.health.failures import describe_failure

        if (text := describe_failure(error)) is None:
            raise
        raise click.ClickException(text) from None


#: The exit code of a program that a signal ended, less the signal (POSIX shells).
_BY_SIGNAL = 128


@contextmanager
def quiet_after_last_reader() -> Iterator[None]:
    """Exit without a word once nobody reads the output, like a program that SIGPIPE ends.

    `head` closes the pipe when it has read enough. What is left in the buffers is dropped, because
    Python would fail on it at its end.
    """
    try:
        yield
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise click.exceptions.Exit(_BY_SIGNAL + signal.SIGPIPE) from None


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and prints failures as sentences."""

    def __init__(self, *args: Any, commands_at: Commands, **options: Any) -> None:
        super().__init__(*args, **options)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        found = self._commands_at.get(ALIASES.get(cmd_name, cmd_name))
        if found is None:
            return None
        module, _, name = found[0].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) or ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from cron_tasks.text.display import short_repr
        from cron_tasks.text.suggestions import suggest_nearest

        groups = {each: self.get_command(ctx, each) for each in self._commands_at}
        within = [
            each
            for each, group in groups.items()
            if isinstance(group, LazyGroup) and group.get_command(ctx, name)
        ]
        hint = suggest_nearest(name, self._commands_at)
        if within:
            hint = f"; did you mean `{ctx.command_path} {within[0]} {name}`?"
        ctx.fail(f"No such command {short_repr(name)}{hint}")

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with quiet_after_last_reader(), failures_in_one_sentence(), usage_in_one_sentence():
            return super().make_context(*args, **options)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._commands_at.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with quiet_after_last_reader(), failures_in_one_sentence(), usage_in_one_sentence():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(_BY_SIGNAL + signal.SIGINT)


@click.group(
    "cron-tasks",
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(
    None, "-V", "--version", package_name="cron-tasks", message="cron-tasks %(version)s"
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run the cron jobs of a REST service with Celery and RedBeat.

    A tick is a job and one of its fire times. Settings are environment variables CRON_TASKS_…, and
    `cron-tasks settings` shows all of them.

    Exit codes: 0 success, 1 failure, 2 wrong usage, 3 `sync --dry-run` found changes, 130 Ctrl-C,
    141 nobody reads the output.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if sys.stdout is None:  # The process that started us has closed it, as `>&-` does.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
