"""From the fields of a job, or the smaller spec that is stored of them, to its schedule.

One reader serves both: a spec is what it makes of the fields, in one spelling and without
defaults. So a schedule means the same before and after it was stored.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules import cron, exclusions, feasibility, rrule
from cron_tasks.schedules.budget import Work
from cron_tasks.schedules.faults import Fault, Faults, listed
from cron_tasks.schedules.interval import Interval, Once
from cron_tasks.schedules.schedule import MOST_JITTER, Rule, Schedule, Series
from cron_tasks.schedules.zones import (
    EPOCH,
    FIRST,
    LAST,
    read_end,
    read_start,
    utc_text,
    zone,
)
from cron_tasks.text.display import short_repr

_MOST_EXCLUDED = 1_000
_KINDS = ("cron_expression", "every", "run_at", "rrule")
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
    takes dates and {"from", "to"} of dates or of times of day (see `exclusions`). Up to `jitter`
    seconds, chosen by `identity`, are added to each tick; they carry none to or past the next
    tick, `end_at`, or the beginning of an excluded stretch.

    Raises ScheduleError whose `errors` lists every (field, message). What takes more work than
    `work.LIMIT` to read, or to ask for fire times, is refused, too.
    """
    run_at, start_at, end_at = _as_text(run_at), _as_text(start_at), _as_text(end_at)
    faults, offset = Faults(), 0
    entries: tuple[str, ...] = ()
    if exclude:
        with faults.at("exclude"):
            entries = _entries(exclude)
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
        raise ScheduleError(
            [("spec", f"{short_repr(spec)} is not the spec of a schedule")]
        ) from None


@lru_cache(maxsize=16384)
def _stored(text: bytes) -> Schedule:
    spec = orjson.loads(text)
    try:
        fields = dict(spec)
        offset = fields.pop("j", 0)
        if "x" in fields:
            fields["x"] = tuple(map(exclusions.canonical, fields["x"]))
        found = _read(**fields, stored=True)
    except (TypeError, ValueError):
        raise ScheduleError(
            [("spec", f"{short_repr(spec)} is not the spec of a schedule")]
        ) from None
    if not isinstance(found, Series):
        raise ScheduleError(found)
    if type(offset) is not int or not 0 <= offset <= MOST_JITTER:
        raise ScheduleError([("spec", f"j is not in 0–{MOST_JITTER}")])
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
    stored: bool = False,
) -> Series | tuple[tuple[str, str], ...]:
    """The series of the values of a spec or of the fields they stand for, or all their faults.

    Kept, faults as well: finding one may take a search, and a list may hold it a thousand times.
    What is `stored` was validated when it was written, so only its spelling is read: nothing is
    searched, and a rule that an earlier version accepted is not refused.
    """
    faults, work = Faults(), Work()
    *rules, s, u = (None if isinstance(v, str) and not v.strip() else v for v in (c, e, t, r, s, u))
    given = {field: v for field, v in zip(_KINDS, rules, strict=True) if v is not None}
    field = next(iter(given)) if len(given) == 1 else "schedule"
    tz, start, end, exclude = zone("UTC"), None, None, None
    with faults.at("timezone"):
        tz = zone(z)
    with faults.at(field):
        if len(given) != 1:
            found = listed(list(given)) or "none"
            raise Fault(f"needs exactly one of {listed(_KINDS, 'or')}; found {found}")
        if field in _OWN_ZONE and (match := _OWN_ZONE[field](str(given[field]))):
            tz = zone(match[1])
    with faults.at("start_at"):
        start = EPOCH if s else None  # stands in if it is wrong, as an rrule needs one
        start = None if s is None else read_start(s, tz)
    with faults.at("end_at"):
        end = None if u is None else read_end(u, tz)
    with faults.at("exclude"):
        exclude = exclusions.read(x, tz)
    with faults.at(field):
        if given.keys() == {field}:
            rule = _rule(field, given[field], tz, start, work, stored)
    if faults:
        return tuple(faults)
    series = Series(_spec(rule, tz, start, end, x), rule, tz, start or FIRST, end or LAST, exclude)
    if not stored:
        with faults.at("exclude" if exclude else field):
            faults += feasibility.faults(series, field, work)
    return tuple(faults) or series


def _rule(
    field: str, value: object, tz: ZoneInfo, start: datetime | None, work: Work, stored: bool
) -> Rule:
    """Read the rule of a field. Raises Fault."""
    match field:
        case "cron_expression":
            return cron.read(value, tz, start, stored=stored)
        case "every":
            return Interval.read(value, tz, start)
        case "run_at":
            return Once.read(value, tz, start)
        case _:
            return rrule.Recurrence.read(value, tz, start, work)


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


def _as_text(value: object) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _entries(exclude: object) -> tuple[str, ...]:
    listed = exclude if isinstance(exclude, (list, tuple)) else [exclude]
    if len(listed) > _MOST_EXCLUDED:
        raise Fault(f"has {len(listed):,} entries; at most {_MOST_EXCLUDED:,} are read")
    return tuple(map(exclusions.canonical, listed))


def _offset(jitter: object, identity: str) -> int:
    """The job's own share of the jitter: a hash, so that it is the same in every process."""
    if type(jitter) is not int or not 0 <= jitter <= MOST_JITTER:
        raise Fault(
            f"{short_repr(jitter)} is not a whole number of seconds from 0 to {MOST_JITTER:,}"
        )
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % (jitter + 1)
