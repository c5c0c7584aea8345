"""Reading what people write: every fault at once, each in words that say how to mend it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules import _cron, _exclude
from cron_tasks.schedules._clock import FIRST, local, read_date, read_time, utc, utc_text, zone
from cron_tasks.schedules._every import read_period
from cron_tasks.schedules._rrule_text import read
from cron_tasks.schedules._schedule import Schedule, Series
from cron_tasks.schedules._spec import MOST_JITTER, rule, series
from cron_tasks.schedules._words import Fault, Faults, listed, quoted


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
    takes dates and {"from", "to"} of dates, times or daily hours (see `_exclude.compiled`).
    Window and exclusions look at the ticks before `jitter` seconds at most, chosen by `identity`,
    are added to each.

    Raises ScheduleError whose `errors` lists every (field, message).
    """
    faults = Faults()
    kinds = zip(_READERS, (cron_expression, every, run_at, rrule), strict=True)
    field, spec, tz = _rule(faults, timezone, {kind: v for kind, v in kinds if not _blank(v)})
    with faults.at("start_at"):
        spec |= _time("s", start_at, tz)
    with faults.at("end_at"):
        spec |= _time("u", end_at, tz, end=True)
    with faults.at("exclude"):
        spec |= _entries(exclude, tz)
    with faults.at("jitter"):
        offset = _offset(jitter, identity)
    with faults.at(field):
        if not faults or ("r" in spec and _blank(start_at)):
            found, fault = _checked(field, tuple(sorted(spec.items())))
            faults += [fault] if fault else []
    if faults:
        raise ScheduleError(faults)
    return Schedule(found, offset)


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _rule(
    faults: Faults, timezone: object, given: dict[str, Any]
) -> tuple[str, dict[str, Any], ZoneInfo]:
    """The field that holds the rule, what it and its zone add to the spec, and the zone."""
    field = next(iter(given)) if len(given) == 1 else "schedule"
    spec: dict[str, Any] = {}
    tz = zone("UTC")
    with faults.at("timezone"):
        tz = _zone(timezone)
    with faults.at(field):
        if len(given) != 1:
            found = listed(list(given)) or "none"
            raise Fault(f"needs exactly one of {listed(list(_READERS), 'or')}; found {found}")
        key, value, tz = _READERS[field](given[field], tz)
        spec[key] = value
    if tz.key != "UTC":
        spec["z"] = tz.key
    return field, spec, tz


def _zone(name: object) -> ZoneInfo:
    if not isinstance(name, str):
        raise Fault(f"{quoted(name)} is not the name of a time zone such as Europe/Berlin")
    return zone(name.strip())


def _cron_expression(value: object, tz: ZoneInfo) -> tuple[str, Any, ZoneInfo]:
    if not isinstance(value, str):
        raise Fault(f"{quoted(value)} is not a text such as '0 9 * * *'")
    expression, named = _cron.split(value)
    if named is not None:
        tz = zone(named)
    if match := re.match(r"@every\s", expression, re.IGNORECASE):
        return _every(expression[match.end() :], tz)
    canonical = _cron.canonical(expression)
    rule("c", canonical, tz, None)
    return "c", canonical, tz


def _every(value: object, tz: ZoneInfo) -> tuple[str, Any, ZoneInfo]:
    seconds = read_period(value).total_seconds()
    return "e", int(seconds) if seconds.is_integer() else seconds, tz


def _run_at(value: object, tz: ZoneInfo) -> tuple[str, Any, ZoneInfo]:
    if isinstance(value, str) and read_date(value.strip()):
        raise Fault(f"{quoted(value)} has no time of day, such as 2026-03-01T09:00")
    return "t", utc_text(read_time(value, tz)), tz


def _rrule(value: object, tz: ZoneInfo) -> tuple[str, Any, ZoneInfo]:
    if not isinstance(value, str):
        raise Fault(f"{quoted(value)} is not a text such as FREQ=DAILY;INTERVAL=2")
    written = read(value)
    if written.zone:
        tz = zone(written.zone)
    if not written.start:
        return "r", written.text, tz
    start = local(tz, utc(written.start)) if written.start.tzinfo else written.start
    basic = start.isoformat().replace("-", "").replace(":", "")
    return "r", f"DTSTART:{basic}\nRRULE:{written.text}", tz


_READERS: dict[str, Callable[[Any, ZoneInfo], tuple[str, Any, ZoneInfo]]] = {
    "cron_expression": _cron_expression,
    "every": _every,
    "run_at": _run_at,
    "rrule": _rrule,
}


def _time(key: str, value: object, tz: ZoneInfo, *, end: bool = False) -> dict[str, str]:
    return {} if _blank(value) else {key: utc_text(read_time(value, tz, end=end))}


def _entries(exclude: object, tz: ZoneInfo) -> dict[str, tuple[str, ...]]:
    if not exclude:
        return {}
    if isinstance(exclude, str) or not isinstance(exclude, Sequence):
        raise Fault(f"{quoted(exclude)} is not a list")
    faults, entries = Faults(), set()
    for entry in exclude:
        with faults.at(""):
            entries.add(_exclude.canonical(entry))
    canonical = tuple(sorted(entries))
    with faults.at(""):
        _exclude.compiled(canonical, tz)
    if faults:
        raise Fault(*faults.messages())
    return {"x": canonical}


def _offset(jitter: object, identity: str) -> int:
    """The job's own share of the jitter: a hash, so that it is the same in every process."""
    if isinstance(jitter, bool) or not isinstance(jitter, int) or not 0 <= jitter <= MOST_JITTER:
        raise Fault(f"{quoted(jitter)} is not a whole number of seconds from 0 to {MOST_JITTER:,}")
    if not jitter:
        return 0
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % (jitter + 1)


@lru_cache(maxsize=16384)
def _checked(
    field: str, items: tuple[tuple[str, Any], ...]
) -> tuple[Series, tuple[str, str] | None]:
    """The series of a spec's items, and the fault of one that never ticks.

    Found by a search, so the answer is kept: a list may hold the same bad row a thousand times.
    """
    found = series(items)
    framed = {"s", "u", "x"} & dict(items).keys()
    fault = None
    if (not framed and field in ("cron_expression", "every")) or found.after(FIRST):
        pass
    elif found.start >= found.end:
        fault = "end_at", "is not later than start_at"
    elif found.exclude and replace(found, exclude=None).after(FIRST):
        fault = "exclude", "leaves no tick"
    elif framed and Series(items, found.rule, found.tz).after(FIRST):
        fault = field, "has no tick from start_at to before end_at"
    else:
        fault = field, "never fires"
    return found, fault
