"""Show a person what happens: where each part is, the next ticks, and whatever goes wrong."""

import shutil
import signal
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
import orjson

from cron_tasks.registry.registry import RegisteredJob
from cron_tasks.schedules.human import format_distance
from cron_tasks.text.display import printable

#: Levels of the log lines to show, with their colours.
_SHOWN_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}
#: Fields of every log line. The others are the event's own values.
_COMMON_FIELDS = frozenset({"timestamp", "level", "event", "logger", "exception", "trace_id"})


class Narrator:
    """Lines on the screen of a person."""

    #: Set once the parts are being stopped. Their warnings and errors are then left out.
    ending = False

    def show(self, text: str = "") -> None:
        try:
            click.echo(text)
        except OSError:  # nobody reads the screen any more
            signal.raise_signal(signal.SIGTERM)

    def show_row(self, name: str, text: str, color: str | None = None) -> None:
        self.show(f"  {click.style(f'{name:<9}', bold=True)} {click.style(text, fg=color)}")

    def show_line(self, name: str, text: str, is_ready: bool, is_for_people: bool) -> None:
        """Show a line that a part printed, if it concerns a person."""
        event = parse_event(text)
        if event is None:
            if is_for_people:
                self.show(text)
        elif event["event"] == "sync.done":
            names = ("added", "changed", "removed", "rejected")
            self.show_row("jobs", ", ".join(f"{event[it]:,} {it}" for it in names if event.get(it)))
        elif is_worth_showing(event, is_ready) and not self.ending:
            self.show_row(
                name, f"{event['level']} {format_line(text)}", _SHOWN_LEVELS[event["level"]]
            )

    def show_upcoming(self, jobs: Iterable[RegisteredJob], now: float) -> None:
        """Show the next tick of each job. `now` is in seconds since the epoch."""
        room = min(60, shutil.get_terminal_size((120, 24)).columns - 58)
        self.show("\nNext:")
        for each in jobs:
            tick = each.next or now
            when = f"{datetime.fromtimestamp(tick):%a %H:%M:%S}  {format_distance(tick - now):<14}"
            name = printable(each.job.name, 24)
            self.show(
                f"  {when}  {name:<24}  {printable(each.job.schedule.describe(), max(room, 20))}"
            )
        self.show()


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
