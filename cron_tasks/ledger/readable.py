"""Read values that another program may have written in Redis. The unreadable is left out. Pure.

Such a value concerns one run or one job. It must not stop a reader from reading the others.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import orjson

#: The errors of a function that parses a value which another program has written.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
#: How a run can end.
STATUSES = ("ok", "failed", "skipped", "missed")
_TEXTS = ("reason", "worker", "error", "other")
_YEAR_10000 = 253_402_300_800.0
_Value = TypeVar("_Value")
_Parsed = TypeVar("_Parsed")


def parse_each(parse: Callable[[_Value], _Parsed], values: Iterable[_Value]) -> Iterator[_Parsed]:
    """Yield the results of `parse`, and leave out the values that another program has written."""
    for value in values:
        try:
            yield parse(value)
        except UNREADABLE:
            continue


def parse_run(line: str) -> dict[str, Any]:
    """Parse the whole record of a run. Raises ValueError if it does not have the fields of one."""
    record = orjson.loads(line)
    if not (isinstance(record, dict) and _is_run(record)):
        raise ValueError("the line is not the record of a run")
    return record


def _is_run(record: dict[str, Any]) -> bool:
    texts = all(record.get(name) is None or isinstance(record[name], str) for name in _TEXTS)
    named = isinstance(record.get("run_id"), str) and isinstance(record.get("status"), str)
    attempts, started = record.get("attempts", []), record.get("started_at")
    listed = isinstance(attempts, list) and all(isinstance(each, dict) for each in attempts)
    timed = is_time(record.get("finished_at")) and (started is None or is_time(started))
    return named and texts and timed and listed


def is_time(value: Any) -> bool:
    """Return whether a value is a number of seconds since the epoch that a date can show."""
    return isinstance(value, int | float) and 0 <= value < _YEAR_10000


def check_status(status: Any) -> str:
    """Return the status of a run that has ended. Raises ValueError for any other value."""
    if status not in STATUSES:
        raise ValueError(f"{status!r} is not how a run ends")
    return str(status)


def is_count(value: Any) -> bool:
    """Return whether a stored value is a count."""
    return isinstance(value, str) and value.isdecimal()
