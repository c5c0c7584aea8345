"""Show a person the progress of each part, the next ticks, and problems."""

import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
import orjson

from cron_tasks.registry.registry import RegisteredJob
from cron_tasks.runs.wording import describe_outcome
from cron_tasks.schedules.human import format_distance
from cron_tasks.text.display import cell_width, fit, printable, wrap

#: Levels of the log lines to show, with their colours.
_SHOWN_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}
_MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red")}
#: Fields of every log line. The others are the event's own values.
_COMMON_FIELDS = frozenset({"timestamp", "level", "event", "logger", "exception", "trace_id"})


class Narrator:
    """The lines on a person's screen."""

    #: Set once the parts are being stopped. Their warnings and errors are then left out.
    ending = False

    def __init__(self, shows_runs: bool = False) -> None:
        #: Whether each run has a separate line (`show_run`).
        self.shows_runs = shows_runs

    def show(self, text: str = "") -> None:
        try:
            click.echo(text)
        except OSError:  # Nobody reads the screen any more.
            signal.raise_signal(signal.SIGTERM)

    def show_row(self, name: str, text: str, color: str | None = None) -> None:
        self.show(f"  {click.style(f'{name:<9}', bold=True)} {click.style(text, fg=color)}")

    def show_line(self, name: str, text: str, is_ready: bool, is_for_people: bool) -> None:
        """Show a line that a part printed, if a person should see it."""
        event = parse_event(text)
        if event is None:
            if is_for_people:
                self.show(text)
        elif event["event"] == "sync.done":
            names = ("added", "changed", "removed", "rejected")
            self.show_row("jobs", ", ".join(f"{event[it]:,} {it}" for it in names if event.get(it)))
        elif is_worth_showing(event, is_ready) and not self.ending:
            if self.shows_runs and event["event"] == "run.finished":
                return
            line = f"{event['level']} {format_line(text)}"
            for part in wrap(line, screen_width() - 12):
                self.show_row(name, part, _SHOWN_LEVELS[event["level"]])
                name = ""

    def show_upcoming(self, jobs: Iterable[RegisteredJob], now: float) -> None:
        """Show the next tick of each job. `now` is in seconds since the epoch."""
        room = max(20, min(60, screen_width() - 58))
        self.show("\nNext:")
        for each in jobs:
            tick = each.next or now
            when = f"{datetime.fromtimestamp(tick):%a %H:%M:%S}  {format_distance(tick - now):<14}"
            name = fit(printable(each.job.name), 24)
            name += " " * (24 - cell_width(name))
            self.show(f"  {when}  {name}  {fit(printable(each.job.schedule.describe()), room)}")
        self.show()

    def show_run(self, run: Mapping[str, Any], name: str) -> None:
        """Show how a run ended, on one line."""
        ended = datetime.fromisoformat(run["finished_at"]).astimezone()
        mark, color = _MARKS.get(run["status"], ("–", "yellow"))
        outcome = describe_outcome(run, "UTC")
        room = screen_width() - len("  09:20:40 ✓ ")
        shown = fit(printable(name), max(24, room - 2 - cell_width(outcome)))
        text = fit(f"{shown}  {outcome}", room)
        self.show(f"  {ended:%H:%M:%S} {click.style(mark, fg=color)} {text}")


def screen_width() -> int:
    """Return the width of the terminal. Output to a file is not limited."""
    return shutil.get_terminal_size((120 if sys.stdout.isatty() else 1000, 24)).columns


def parse_event(line: str) -> dict[str, Any] | None:
    """Return the fields of a JSON log line, or None for any other line."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def is_worth_showing(event: Mapping[str, Any], is_ready: bool) -> bool:
    """Return whether to show a log line: errors, and warnings of a part that is ready.

    Warnings of Python itself are left out.
    """
    if event.get("level") == "warning":
        return is_ready and event.get("logger") != "py.warnings"
    return event.get("level") in _SHOWN_LEVELS


def format_line(line: str) -> str:
    """Return a line that a part printed as one short line for the screen.

    A log line becomes its event, its values, and the last line of its exception.
    """
    if (event := parse_event(line)) is None:
        return printable(line.rstrip(), 300)
    values = [f"{name}={value}" for name, value in event.items() if name not in _COMMON_FIELDS]
    raised = str(event.get("exception", "")).strip().splitlines()[-1:]
    return printable("  ".join([event["event"], *values, *raised]).replace("\n", " "), 300)
