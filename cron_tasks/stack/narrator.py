"""Tells a person what goes on: which part is where, the next ticks, and whatever goes wrong."""

import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import orjson

from cron_tasks.registry import Registered
from cron_tasks.stack.child import Part
from cron_tasks.stack.screen import Screen
from cron_tasks.text import printable

#: Levels of log lines that are shown.
_LOUD = {"warning": "yellow", "error": "red", "critical": "red"}
#: What a log line holds beside the event and its own values.
_FRAME = frozenset({"timestamp", "level", "event", "logger", "exception"})
#: The same trouble of the same part is shown once in so many seconds.
REPEAT = 60.0
_UNITS = ((86_400, "day"), (3600, "h"), (60, "min"))


class Narrator:
    """Turns what parts say and do into lines on the screen."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        #: Set once the end has begun: what parts complain of then is of no interest.
        self.ending = False
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    def places(self, places: Mapping[str, str], warnings: Iterable[str]) -> None:
        for name, place in places.items():
            self._row(name, place)
        for text in warnings:
            self._row("settings", click.style(text, fg="yellow"))
        self.screen.show()

    def line(self, part: Part, text: str, ready: bool) -> None:
        event = parsed(text)
        if event is None:
            if part.speaks:
                self.screen.show(text)
        elif event["event"] == "sync.done":
            self._row("jobs", click.style(counts(event), dim=True))
        elif worth_telling(event, ready) and not self.ending:
            self._trouble(part.name, event)

    def ready(self, part: Part, seconds: float, where: str | None) -> None:
        place = f"  {where}" if where else ""
        self._row(part.name, click.style(f"ready in {seconds:.1f} s", fg="green") + place)

    def died(self, part: Part, how: str, last: str, pause: float) -> None:
        why = f"  {told(last)}" if how.startswith("ended") else ""
        text = click.style(f"{how}; starts again in {pause:g} s", fg="yellow")
        self._row(part.name, text + click.style(why, dim=True))

    def hangs(self, part: Part) -> None:
        text = f"did not end within {part.patience:g} s and is killed"
        self._row(part.name, click.style(text, fg="yellow"))

    def all_ready(self, seconds: float) -> None:
        text = click.style(f"All ready in {seconds:.1f} s.", bold=True)
        self.screen.show(f"\n{text} Ctrl-C ends everything.")

    def upcoming(self, jobs: Sequence[Registered], now: float) -> None:
        if not jobs:
            return
        self.screen.show("\nNext:")
        rows = [_tick(each, now) for each in jobs]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[-1] = click.style(cells[-1].rstrip(), dim=True)
            self.screen.show("  " + "  ".join(cells))
        self.screen.show()

    def ends(self) -> None:
        self.ending = True
        self.screen.show("\nEnding; workers finish what they run. Ctrl-C again kills.")

    def ended(self, seconds: float) -> None:
        self.screen.show(f"Ended in {seconds:.1f} s.")

    def last_lines(self, lines: Iterable[str]) -> None:
        for text in lines:
            self.screen.show(click.style(f"  {told(text)}", dim=True))

    def _row(self, name: str, text: str) -> None:
        self.screen.show(f"  {click.style(f'{name:<9}', bold=True)} {text}")

    def _trouble(self, name: str, event: Mapping[str, Any]) -> None:
        text, now = said(event), time.monotonic()
        kind = (name, re.sub(r"\d+", "", text))
        if now - self._told.get(kind, -REPEAT) < REPEAT:
            return
        self._told[kind] = now
        self._told.move_to_end(kind)
        if len(self._told) > 100:
            self._told.popitem(last=False)
        level = click.style(event["level"], fg=_LOUD[event["level"]])
        self._row(name, f"{level} {click.style(text, dim=True)}")


def parsed(line: str) -> dict[str, Any] | None:
    """A log line's key-values; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event.get("event"), str) else None


def worth_telling(event: Mapping[str, Any], ready: bool) -> bool:
    """Errors are; so are warnings, but for those of Python and of a part that is starting."""
    level = str(event.get("level"))
    if level == "warning":
        return ready and event.get("logger") != "py.warnings"
    return level in _LOUD


def said(event: Mapping[str, Any]) -> str:
    """An event and its values on one line, with what an exception says of itself."""
    values = [f"{name}={value}" for name, value in event.items() if name not in _FRAME]
    raised = str(event.get("exception", "")).strip().splitlines()[-1:]
    words = "  ".join([str(event["event"]), *values, *raised]).replace("\n", " ")
    return printable(words.strip(), 300)


def told(line: str) -> str:
    """Any line that a part printed, fit for the screen."""
    event = parsed(line)
    return said(event) if event else printable(line.rstrip())


def counts(event: Mapping[str, Any]) -> str:
    """`2 added, 1 changed`: what a sync did."""
    names = ("added", "changed", "removed", "rejected")
    return ", ".join(f"{event[name]:,} {name}" for name in names if event.get(name))


def _tick(job: Registered, now: float) -> tuple[str, ...]:
    when = datetime.fromtimestamp(job.next or now).astimezone()
    today = when.date() == datetime.fromtimestamp(now).date()
    shown = f"{when:%H:%M:%S}" if today else f"{when:%a %d %b %H:%M}"
    name = printable(job.job.name, 40)
    return (
        shown,
        distance((job.next or now) - now),
        name,
        printable(job.job.schedule.describe(), 60),
    )


def distance(seconds: float) -> str:
    """`in 3 s`, `in 2 days`: the largest unit alone."""
    for size, unit in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"in {count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"in {max(seconds, 0):.0f} s"
