"""The stored form of a schedule: one small JSON object a job, read back in microseconds.

`parse` makes these, too, so that a schedule means the same before and after it was stored. Each
distinct spec is built once; schedules of equal specs share their series and its memory.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules import _exclude
from cron_tasks.schedules._clock import EPOCH, FIRST, LAST, local, read_time, zone
from cron_tasks.schedules._cron import Cron
from cron_tasks.schedules._every import Interval, Once, read_period
from cron_tasks.schedules._rrule import Recurrence
from cron_tasks.schedules._rrule_text import read
from cron_tasks.schedules._schedule import Rule, Schedule, Series
from cron_tasks.schedules._words import Fault, quoted

#: The most that jitter may shift a tick, in seconds: 31 days.
MOST_JITTER = 2_678_400

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys("ctrzsu", (str,)),
    "e": (int, float),
    "x": (list,),
    "j": (int,),
}
_KINDS = frozenset("cetr")


def from_spec(spec: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_spec` stored. Raises ScheduleError whatever else it is given."""
    try:
        return _from_spec(spec)
    except Fault as fault:
        raise ScheduleError([("spec", message) for message in fault.messages]) from None


def _from_spec(spec: Any) -> Schedule:
    if not isinstance(spec, Mapping):
        raise Fault(f"{quoted(spec)} is not an object")
    offset = 0
    items: list[tuple[str, Any]] = []
    for key, value in spec.items():
        if not _fits(key, value):
            raise Fault(f"{quoted(key)} is unknown or has the wrong type")
        if key == "j":
            offset = value
        elif key == "x":
            if not value or not all(isinstance(entry, str) for entry in value):
                raise Fault("'x' is not a list of texts")
            items.append((key, tuple(value)))
        else:
            items.append((key, value))
    if not 0 <= offset <= MOST_JITTER:
        raise Fault(f"'j' is not in 0–{MOST_JITTER}")
    return Schedule(series(tuple(sorted(items))), offset)


def _fits(key: object, value: object) -> bool:
    return (
        isinstance(key, str)
        and isinstance(value, _TYPES.get(key, ()))
        and not isinstance(value, bool)
    )


@lru_cache(maxsize=16384)
def series(items: tuple[tuple[str, Any], ...]) -> Series:
    """The series of a spec's sorted items, types checked. Raises Fault."""
    spec = dict(items)
    kinds = _KINDS & spec.keys()
    if len(kinds) != 1:
        raise Fault("needs exactly one of c, e, t and r")
    tz = zone(spec.get("z", "UTC"))
    start = read_time(spec["s"], tz) if "s" in spec else None
    end = read_time(spec["u"], tz) if "u" in spec else None
    return Series(
        items,
        rule(*kinds, spec[next(iter(kinds))], tz, start),
        tz,
        start or FIRST,
        end or LAST,
        _exclude.compiled(spec["x"], tz) if "x" in spec else None,
    )


@lru_cache(maxsize=16384)
def rule(kind: str, value: Any, tz: ZoneInfo, start: datetime | None) -> Rule:
    """The rule that one of the keys c, e, t and r stands for. Raises Fault."""
    if kind == "c":
        return Cron(value, tz)
    if kind == "e":
        return Interval(read_period(value), start or EPOCH)
    if kind == "t":
        return Once(read_time(value, tz), tz)
    begin = read(value).start or (start and local(tz, start))
    if not begin:
        raise Fault("has no DTSTART; write one, or give start_at")
    return Recurrence(value, begin, tz)
