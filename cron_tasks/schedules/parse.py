"""From the fields of a job, or the smaller spec that is stored of them, to its schedule.

One reader serves both: a spec is what it makes of the fields, in one spelling and without
defaults. So a schedule means the same before and after it was stored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules import cron, rrule, window
from cron_tasks.schedules.clock import EPOCH, FIRST, LAST, read_time, utc_text, zone
from cron_tasks.schedules.interval import Interval, Once
from cron_tasks.schedules.schedule import Rule, Schedule, Series
from cron_tasks.schedules.words import Fault, Faults, listed
from cron_tasks.text import shown

#: The most that jitter may shift a tick, in seconds: 31 days.
_MOST_JITTER = 2_678_400

_READERS: dict[str, Callable[[object, ZoneInfo, datetime | None], Rule]] = {
    "cron_expression": cron.read,
    "every": Interval.read,
    "run_at": Once.read,
    "rrule": rrule.Recurrence.read,
}
_OWN_ZONE = {"cron_expression": cron.PREFIX.match, "rrule": rrule.ZONE.search}


def parse(
    *,
    cron_expression: str | None = None,
    every: str | int | float | None = None,
    run_at: str | datetime | None = None,
    rrule: str | None = None,
    timezone: str = "UTC",
    start_at: str | datetime | None = None,
    end_at: str | datetime | None = None,
    exclude: Sequence[str | Mapping[str, str]] = (),
    jitter: int = 0,
    identity: str = "",
) -> Schedule:
    """The schedule of a job's fields (contract, section 3); a blank text counts as not given.

    Ticks exist from `start_at` to before `end_at`; a date alone means that whole day. `exclude`
    takes dates and {"from", "to"} of dates or of times of day (see `window.read`). Window and
    exclusions look at the ticks before `jitter` seconds at most, chosen by `identity`, are added.

    Raises ScheduleError whose `errors` lists every (field, message).
    """
    run_at, start_at, end_at = _as_text(run_at), _as_text(start_at), _as_text(end_at)
    faults, offset = Faults(), 0
    entries = tuple(map(window.canonical, _listed(exclude))) if exclude else ()
    if jitter != 0:
        with faults.at("jitter"):
            offset = _offset(jitter, identity)
    values = cron_expression, every, run_at, rrule, timezone, start_at, end_at, entries
    try:
        found = _read(*values)
    except TypeError:  # lists and objects, which no cache takes, are as wrong as the text of them
        found = _read(*(v if v is None or isinstance(v, tuple) else str(v) for v in values))
    if isinstance(found, Series) and not faults:
        return Schedule(found, offset)
    raise ScheduleError([*faults, *(found if isinstance(found, tuple) else ())])


def from_spec(spec: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_spec` stored. Raises ScheduleError whatever else it is given."""
    try:
        return _stored(orjson.dumps(spec))
    except TypeError:
        raise ScheduleError([("spec", f"{shown(spec)} is not the spec of a schedule")]) from None


@lru_cache(maxsize=16384)
def _stored(text: bytes) -> Schedule:
    spec = orjson.loads(text)
    try:
        fields = dict(spec)
        offset = fields.pop("j", 0)
        if "x" in fields:
            fields["x"] = tuple(map(window.canonical, fields["x"]))
        found = _read(**fields)
    except (TypeError, ValueError):
        raise ScheduleError([("spec", f"{shown(spec)} is not the spec of a schedule")]) from None
    if not isinstance(found, Series):
        raise ScheduleError(found)
    if type(offset) is not int or not 0 <= offset <= _MOST_JITTER:
        raise ScheduleError([("spec", f"j is not in 0–{_MOST_JITTER}")])
    return Schedule(found, offset)


@lru_cache(maxsize=16384, typed=True)
def _read(
    c: object = None,
    e: object = None,
    t: object = None,
    r: object = None,
    z: object = "UTC",
    s: object = None,
    u: object = None,
    x: tuple[str, ...] = (),
) -> Series | tuple[tuple[str, str], ...]:
    """The series of the values of a spec or of the fields they stand for, or all their faults.

    Kept, faults as well: finding one may take a search, and a list may hold it a thousand times.
    """
    faults = Faults()
    *rules, s, u = (None if isinstance(v, str) and not v.strip() else v for v in (c, e, t, r, s, u))
    given = {field: v for field, v in zip(_READERS, rules, strict=True) if v is not None}
    field = next(iter(given)) if len(given) == 1 else "schedule"
    tz, start, end, exclude = zone("UTC"), None, None, None
    with faults.at("timezone"):
        tz = zone(z)
    with faults.at(field):
        if len(given) != 1:
            found = listed(list(given)) or "none"
            raise Fault(f"needs exactly one of {listed(list(_READERS), 'or')}; found {found}")
        if field in _OWN_ZONE and (match := _OWN_ZONE[field](str(given[field]))):
            tz = zone(match[1])
    with faults.at("start_at"):
        start = EPOCH if s else None  # stands in if it is wrong, as an rrule needs one
        start = None if s is None else read_time(s, tz)
    with faults.at("end_at"):
        end = None if u is None else read_time(u, tz, end=True)
    with faults.at("exclude"):
        exclude = window.read(x, tz)
    with faults.at(field):
        if given.keys() == {field}:
            rule = _READERS[field](given[field], tz, start)
    if faults:
        return tuple(faults)
    series = Series(_spec(rule, tz, start, end, x), rule, tz, start or FIRST, end or LAST, exclude)
    faults += _no_tick(series, field)
    return tuple(faults) or series


def _spec(
    rule: Rule, tz: ZoneInfo, start: datetime | None, end: datetime | None, entries: tuple[str, ...]
) -> tuple[tuple[str, Any], ...]:
    values = {
        rule.key: rule.written,
        "z": tz.key if tz.key != "UTC" else None,
        "s": start and utc_text(start),
        "u": end and utc_text(end),
        "x": tuple(sorted(set(entries))),
    }
    return tuple(sorted((key, value) for key, value in values.items() if value))


def _no_tick(series: Series, field: str) -> list[tuple[str, str]]:
    """The fault of a series without any tick."""
    framed = (series.start, series.end) != (FIRST, LAST)
    if not (framed or series.exclude or field == "rrule") or series.after(FIRST):
        return []
    if series.start >= series.end:
        return [("end_at", "is not later than start_at")]
    if series.exclude and replace(series, exclude=None).after(FIRST):
        return [("exclude", "leaves no tick")]
    return [(field, "never fires" + " between start_at and end_at" * framed)]


def _as_text(value: object) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _listed(exclude: object) -> Sequence[object]:
    return exclude if isinstance(exclude, (list, tuple)) else [exclude]


def _offset(jitter: object, identity: str) -> int:
    """The job's own share of the jitter: a hash, so that it is the same in every process."""
    if type(jitter) is not int or not 0 <= jitter <= _MOST_JITTER:
        raise Fault(f"{shown(jitter)} is not a whole number of seconds from 0 to {_MOST_JITTER:,}")
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % (jitter + 1)
