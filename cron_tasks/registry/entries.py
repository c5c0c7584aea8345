"""RedBeat's entries as text, so that thousands are written and read without an object for each.

The entry of a job is one hash. It holds RedBeat's `definition` and `meta`, in the JSON of
redbeat.decoder 2.4 with our own schedule type, and `job`, the document of the job.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from cron_tasks import schedules
from cron_tasks.errors import ScheduleError
from cron_tasks.store import keys

#: The `__type__` of our schedules in the definition of an entry.
SCHEDULE_TYPE = "cron_tasks"


def format_timing(schedule: schedules.Schedule, enabled: bool) -> str:
    """Return the end of a definition, which defines when the job fires.

    The scripts compare it: an edit that changes it restarts the schedule of the job.
    """
    spec = _json({"__type__": SCHEDULE_TYPE, **schedule.to_spec()})
    return f'"schedule": {spec}, "enabled": {"true" if enabled else "false"}'


def format_definition(job_id: str, timing: str, options: Mapping[str, Any]) -> str:
    """Return RedBeat's definition of the entry that runs `job_id`."""
    name = _json(keys.ENTRY_NAME_PREFIX + job_id)
    return (
        f'{{"name": {name}, "task": "{keys.RUN_TASK}", "args": [{_json(job_id)}], '
        f'"kwargs": {{}}, "options": {_json(options) if options else "{}"}, {timing}}}'
    )


@lru_cache(maxsize=4096)
def format_meta(last_run_at: float, total_run_count: int) -> str:
    """Return RedBeat's meta: the time after which the entry is due next, and its runs so far."""
    return f'{{"last_run_at": {format_time(last_run_at)}, "total_run_count": {total_run_count}}}'


@lru_cache(maxsize=4096)
def format_time(when: float) -> str:
    """Return RedBeat's JSON of a time (seconds since the epoch)."""
    at = datetime.fromtimestamp(when, UTC)
    return (
        f'{{"__type__": "datetime", "year": {at.year}, "month": {at.month}, "day": {at.day}, '
        f'"hour": {at.hour}, "minute": {at.minute}, "second": {at.second}, '
        f'"microsecond": {at.microsecond}, "timezone": "UTC"}}'
    )


def parse_run_count(meta: str | None) -> int:
    """Return the `total_run_count` of a meta, 0 if it has none. Raises ValueError if it is
    invalid."""
    # Most metas are ours, and 100,000 of them are read without parsing their JSON.
    head, _, tail = (meta or "").rpartition(', "total_run_count": ')
    if head.startswith('{"last_run_at": ') and tail[:-1].isdecimal():
        return int(tail[:-1])
    stored = orjson.loads(meta) if meta else {}
    count = stored.get("total_run_count", 0) if isinstance(stored, dict) else None
    if not isinstance(count, int):
        raise ValueError("meta: total_run_count is not a whole number")  # noqa: TRY004
    return count


def parse_last_run(meta: str | None) -> float | None:
    """Return the `last_run_at` of a meta in seconds, None if it has none or is invalid."""
    try:
        at = dict(orjson.loads(meta or "null")["last_run_at"])
        del at["__type__"], at["timezone"]
        return datetime(**at, tzinfo=UTC).timestamp()
    except (KeyError, TypeError, ValueError):
        return None


def parse_fired(fired: str) -> tuple[float, int]:
    """Return the last tick (seconds) that a batch fired, and the number of ticks fired in batches.

    Both count from the last write of the entry's meta (`cron_tasks:fired`).
    """
    moment, _, runs = fired.partition(" ")
    return datetime.fromisoformat(moment).timestamp(), int(runs)


def parse_timing(definition: str) -> tuple[schedules.Schedule, bool]:
    """Return the schedule in a definition, and whether it is enabled.

    Raises ScheduleError, ValueError or KeyError if it is invalid. Many jobs have the same text from
    the schedule on, so that part is parsed once.
    """
    _, mark, tail = definition.partition('"schedule": ')
    return _parse_timing("{" + mark + tail)


@lru_cache(maxsize=16384)
def _parse_timing(text: str) -> tuple[schedules.Schedule, bool]:
    fields = orjson.loads(text)
    return read_schedule(fields), bool(fields["enabled"])


def read_schedule(definition: Mapping[str, Any]) -> schedules.Schedule:
    """Return the schedule in one of our decoded definitions. Raises ScheduleError if it is
    invalid."""
    spec = definition.get("schedule")
    if not isinstance(spec, dict) or spec.get("__type__") != SCHEDULE_TYPE:
        raise ScheduleError([("schedule", f"not one of type {SCHEDULE_TYPE!r}")])
    return schedules.from_spec({key: spec[key] for key in spec if key != "__type__"})


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
