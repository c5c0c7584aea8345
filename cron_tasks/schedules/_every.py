"""Ticks that no wall clock governs: at a fixed interval, or once.

Intervals keep their phase whatever happens: tick n is `anchor + n * period`, computed in the whole
microseconds of `timedelta`, so nothing accumulates and nothing drifts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from cron_tasks.schedules._clock import wall_text
from cron_tasks.schedules._words import Fault, listed, quoted

LONGEST = timedelta(days=36525)

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER = r"[0-9]+(?:[.,][0-9]+)?"
_ISO = re.compile(
    "P" + "".join(f"(?:({_NUMBER}){unit})?" for unit in "YMWD")
    + "(?:T" + "".join(f"(?:({_NUMBER}){unit})?" for unit in "HMS") + ")?"
)  # fmt: skip
_GO = re.compile(f"({_NUMBER})([wdhms])")


def read_period(value: object) -> timedelta:
    """The interval of a number of seconds, or of a text: `300`, `PT5M`, `1h30m`. Raises Fault."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Fault(f"{quoted(value)} is neither seconds nor an ISO 8601 duration such as PT5M")
    seconds = _seconds(value) if isinstance(value, str) else value
    if not 1 <= seconds <= LONGEST.total_seconds():  # false for NaN, too
        raise Fault(
            f"{quoted(value)} is not between 1 second, the finest grain there is, and 100 years"
        )
    return timedelta(microseconds=round(Decimal(str(seconds)) * 1_000_000))


def _seconds(text: str) -> Decimal:
    text = text.strip()
    if len(text) <= 100:
        if re.fullmatch(_NUMBER, text):
            return _sum([(text, "s")])
        if match := _ISO.fullmatch(text.upper()):
            years, months, *rest = match.groups()
            if years or months:
                raise Fault(
                    f"{quoted(text)} has no fixed length, since months and years differ;"
                    " use cron_expression or rrule for calendar dates"
                )
            if any(rest):
                return _sum(zip(rest, "wdhms", strict=True))
        if re.fullmatch(f"(?:{_GO.pattern})+", text.lower()):
            return _sum(_GO.findall(text.lower()))
    raise Fault(f"{quoted(text)} is neither seconds nor an ISO 8601 duration such as PT5M")


def _sum(amounts: Iterable[tuple[str | None, str]]) -> Decimal:
    """Seconds of (number, unit) pairs; exact, since floats would lose microseconds."""
    return sum(
        (Decimal(number.replace(",", ".")) * _UNITS[unit] for number, unit in amounts if number),
        Decimal(),
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A tick every `period`, in phase with `anchor`, before and after it."""

    period: timedelta
    anchor: datetime

    def after(self, when: datetime) -> datetime | None:
        return self.anchor + ((when - self.anchor) // self.period + 1) * self.period

    def latest(self, when: datetime) -> datetime | None:
        return self.anchor + (when - self.anchor) // self.period * self.period

    def describe(self) -> str:
        """`Every 5 minutes`; never in days, which on a wall clock differ in length."""
        minutes, seconds = divmod(self.period / timedelta(seconds=1), 60)
        hours, minutes = divmod(int(minutes), 60)
        amounts = [(hours, "hour"), (minutes, "minute"), (round(seconds, 6), "second")]
        named = [f"{_plain(n)} {unit}{'s' * (n != 1)}" for n, unit in amounts if n]
        return "Every " + (named[0].removeprefix("1 ") if len(named) == 1 else listed(named))


def _plain(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Once:
    """One tick."""

    at: datetime
    tz: ZoneInfo

    def after(self, when: datetime) -> datetime | None:
        return self.at if when < self.at else None

    def latest(self, when: datetime) -> datetime | None:
        return self.at if when >= self.at else None

    def describe(self) -> str:
        return f"Once at {wall_text(self.tz, self.at)} ({self.tz.key})"
