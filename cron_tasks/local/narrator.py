"""Tells a person what goes on: which part is where, the next ticks, and whatever goes wrong."""

import shutil
import signal
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
import orjson

from cron_tasks.registry.registry import Registered
from cron_tasks.schedules.human import format_distance
from cron_tasks.text.display import printable

#: Levels of log lines that are shown.
_LOUD = {"warning": "yellow", "error": "red", "critical": "red"}
#: What a log line holds beside the event and its own values.
_FRAME = frozenset({"timestamp", "level", "event", "logger", "exception"})


class Narrator:
    """Writes lines for a person."""

    #: Set once the end has begun: what parts complain of then is of no interest.
    ending = False

    def show(self, text: str = "") -> None:
        try:
            click.echo(text)
        except OSError:  # nobody reads any more
            signal.raise_signal(signal.SIGTERM)

    def row(self, name: str, text: str, color: str | None = None) -> None:
        self.show(f"  {click.style(f'{name:<9}', bold=True)} {click.style(text, fg=color)}")

    def line(self, name: str, text: str, ready: bool, speaks: bool) -> None:
        """A line that a part printed, once it was ready or before."""
        event = parsed(text)
        if event is None:
            if speaks:
                self.show(text)
        elif event["event"] == "sync.done":
            names = ("added", "changed", "removed", "rejected")
            self.row("jobs", ", ".join(f"{event[it]:,} {it}" for it in names if event.get(it)))
        elif worth_telling(event, ready) and not self.ending:
            self.row(name, f"{event['level']} {told(text)}", _LOUD[event["level"]])

    def upcoming(self, jobs: Iterable[Registered], now: float) -> None:
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


def parsed(line: str) -> dict[str, Any] | None:
    """A log line's key-values; None for any other line."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def worth_telling(event: Mapping[str, Any], ready: bool) -> bool:
    """Errors are; so are warnings, but for those of Python and of a part that is starting."""
    if event.get("level") == "warning":
        return ready and event.get("logger") != "py.warnings"
    return event.get("level") in _LOUD


def told(line: str) -> str:
    """A line that a part printed, fit for the screen: of a log line, the event, its values, and
    what an exception says of itself."""
    if (event := parsed(line)) is None:
        return printable(line.rstrip(), 300)
    values = [f"{name}={value}" for name, value in event.items() if name not in _FRAME]
    raised = str(event.get("exception", "")).strip().splitlines()[-1:]
    return printable("  ".join([event["event"], *values, *raised]).replace("\n", " "), 300)
