"""Read values that another program may have written in Redis. The unreadable is left out. Pure.

Such a value concerns one run, one job or one process. It must not stop a reader from reading the
others.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

#: The errors of a function that parses a value which another program has written.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
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


def is_time(value: Any) -> bool:
    """Return whether a value is a number of seconds since the epoch that a date can show."""
    return isinstance(value, int | float) and 0 <= value < _YEAR_10000


def is_count(value: Any) -> bool:
    """Return whether a stored value is a count."""
    return isinstance(value, str) and value.isdecimal()
