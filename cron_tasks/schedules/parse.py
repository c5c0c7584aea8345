"""Read the fields of a job, or the smaller spec that is stored for them, as a schedule.

One reader serves both. A spec contains the result of reading the fields, in one spelling and
without defaults. So a schedule means the same before and after it is stored.
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
from cron_tasks.schedules.budget import Budget
from cron_tasks.schedules.faults import Fault, Faults
from cron_tasks.schedules.interval import Interval, Once
from cron_tasks.schedules.iso8601 import read_end, read_start, utc_text
from cron_tasks.schedules.schedule import MAX_JITTER, Rule, Schedule, Series
from cron_tasks.schedules.zones import EPOCH, FIRST, LAST, find_zone
from cron_tasks.text.display import short_repr
from cron_tasks.text.english import join_words

_MAX_EXCLUDED = 1_000
#: The fields of a job of which exactly one gives its rule.
RULE_FIELDS = ("cron_expression", "every", "run_at", "rrule")
_OWN_ZONE = {"cron_expression": cron.ZONE.match, "rrule": rrule.ZONE.search}


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
    """Return the schedule of a job's fields (docs/contract.md, section 3).

    A blank text counts as not given. Fire times lie from `start_at` to before `end_at`, and a date
    alone means that whole day. `exclude` takes dates and {"from", "to"} of dates or of times of day
    (see `exclusions`). `jitter` adds up to this many seconds to each fire time, chosen by
    `identity`. It moves no fire time to or past the next fire time, `end_at`, or the beginning of
    an excluded stretch.

    Raises ScheduleError, whose `errors` lists every (field, message). A schedule that takes more
    than `budget.MAX_STEPS` to read or to ask for fire times is rejected, too.
    """
    run_at, start_at, end_at = _to_text(run_at), _to_text(start_at), _to_text(end_at)
    faults, offset = Faults(), 0
    entries: tuple[str, ...] = ()
    if exclude:
        with faults.at("exclude"):
            entries = _normalize_entries(exclude)
    if jitter != 0:
        with faults.at("jitter"):
            offset = _choose_offset(jitter, identity)
    values = cron_expression, every, run_at, rrule, timezone, start_at, end_at, entries
    try:
        found = _read_series(*values)
    except TypeError:  # A list or an object is not hashable. Its text is rejected in the same way.
        texts = (v if v is None or isinstance(v, tuple) else str(v) for v in values)
        found = _read_series(*texts)
    if isinstance(found, Series) and not faults:
        return Schedule(found, offset)
    raise ScheduleError([*faults, *(found if isinstance(found, tuple) else ())])


def from_spec(spec: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `to_spec` stored. Raises ScheduleError for anything else."""
    try:
        return _read_stored_spec(orjson.dumps(spec))
    except TypeError:
        raise _not_a_spec(spec) from None


@lru_cache(maxsize=16384)
def _read_stored_spec(text: bytes) -> Schedule:
    spec = orjson.loads(text)
    try:
        fields = dict(spec)
        offset = fields.pop("j", 0)
        if "x" in fields:
            fields["x"] = tuple(map(exclusions.normalize_entry, fields["x"]))
        found = _read_series(**fields, stored=True)
    except (TypeError, ValueError):
        raise _not_a_spec(spec) from None
    if not isinstance(found, Series):
        raise ScheduleError(found)
    if type(offset) is not int or not 0 <= offset <= MAX_JITTER:
        raise ScheduleError([("spec", f"j is not in 0–{MAX_JITTER}")])
    return Schedule(found, offset)


def _not_a_spec(value: object) -> ScheduleError:
    return ScheduleError([("spec", f"{short_repr(value)} is not the spec of a schedule")])


@lru_cache(maxsize=16384, typed=True)
def _read_series(
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
    """Return the series of the values of a spec or of the fields, or all their faults.

    Faults are cached as well. Finding one may take a search, and a list may contain it a thousand
    times. `stored` values were validated when they were written, so only their spelling is read.
    Nothing is searched, and a rule that an earlier version accepted is not rejected.
    """
    faults, budget = Faults(), Budget()
    *rules, s, u = (None if isinstance(v, str) and not v.strip() else v for v in (c, e, t, r, s, u))
    given = {field: v for field, v in zip(RULE_FIELDS, rules, strict=True) if v is not None}
    field = next(iter(given)) if len(given) == 1 else "schedule"
    tz, start, end, exclude = find_zone("UTC"), None, None, None
    with faults.at("timezone"):
        tz = find_zone(z)
    with faults.at(field):
        tz = _choose_zone(given, field, tz)
    with faults.at("start_at"):
        start = EPOCH if s else None  # It replaces a wrong start, because an rrule needs one.
        start = None if s is None else read_start(s, tz)
    with faults.at("end_at"):
        end = None if u is None else read_end(u, tz)
    with faults.at("exclude"):
        exclude = exclusions.read_exclusions(x, tz)
    with faults.at(field):
        if given.keys() == {field}:
            rule = _read_rule(field, given[field], tz, start, budget, stored)
    if faults:
        return tuple(faults)
    spec = _make_spec(rule, tz, start, end, x)
    series = Series(spec, rule, tz, start or FIRST, end or LAST, exclude)
    if not stored:
        with faults.at("exclude" if exclude else field):
            faults += feasibility.find_faults(series, field, budget)
    return tuple(faults) or series


def _choose_zone(given: Mapping[str, object], field: str, tz: ZoneInfo) -> ZoneInfo:
    """Return the zone that the rule itself names, or else `tz`.

    Raises Fault for an unknown zone, and unless exactly one rule is given.
    """
    if len(given) != 1:
        found = join_words(list(given)) or "none"
        raise Fault(f"needs exactly one of {join_words(RULE_FIELDS, 'or')}; found {found}")
    if field in _OWN_ZONE and (match := _OWN_ZONE[field](str(given[field]))):
        return find_zone(match[1])
    return tz


def _read_rule(
    field: str, value: object, tz: ZoneInfo, start: datetime | None, budget: Budget, stored: bool
) -> Rule:
    """Read the rule of a field. Raises Fault."""
    match field:
        case "cron_expression":
            return cron.read_cron(value, tz, start, stored=stored)
        case "every":
            return Interval.from_value(value, tz, start)
        case "run_at":
            return Once.from_value(value, tz, start)
        case _:
            return rrule.Recurrence.from_value(value, tz, start, budget)


def _make_spec(
    rule: Rule, tz: ZoneInfo, start: datetime | None, end: datetime | None, entries: tuple[str, ...]
) -> tuple[tuple[str, Any], ...]:
    values = {
        rule.spec_key: rule.spec_value,
        "z": tz.key if tz.key != "UTC" else None,
        "s": start and utc_text(start),
        "u": end and utc_text(end),
        "x": tuple(sorted(set(entries))),
    }
    return tuple(sorted((key, value) for key, value in values.items() if value))


def _to_text(value: object) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _normalize_entries(exclude: object) -> tuple[str, ...]:
    entries = exclude if isinstance(exclude, (list, tuple)) else [exclude]
    if len(entries) > _MAX_EXCLUDED:
        raise Fault(f"has {len(entries):,} entries; at most {_MAX_EXCLUDED:,} are allowed")
    return tuple(map(exclusions.normalize_entry, entries))


def _choose_offset(jitter: object, identity: str) -> int:
    """Return the job's share of the jitter. It is a hash, so that it is the same in every
    process."""
    if type(jitter) is not int or not 0 <= jitter <= MAX_JITTER:
        wanted = f"a whole number of seconds from 0 to {MAX_JITTER:,}"
        raise Fault(f"{short_repr(jitter)} is not {wanted}")
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % (jitter + 1)
