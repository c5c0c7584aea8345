"""Turn untrusted values into JSON of bounded size and depth, so that they can be stored. Pure."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson

from cron_tasks.text.display import printable_key, short_repr

#: Levels of JSON that is stored. orjson fails beyond 254 levels, and the value is stored inside
#: other JSON.
MAX_DEPTH = 32


def to_json(value: Any) -> bytes:
    """Return `value` as JSON, with NaN as null.

    Raises ValueError if JSON cannot express the value, or if it is nested deeper than MAX_DEPTH.
    """
    if _is_deeper(value, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(each, levels - 1) for each in inner)


def to_storable(value: Any, limit: int = 4096) -> Any:
    """Return `value` as it comes back from JSON, or a text that shows it.

    The text stands for values that JSON cannot express in `limit` bytes.
    """
    if isinstance(value, str) and value.isascii() and len(value) * 6 < limit:
        return value
    try:
        data = to_json(value)
    except ValueError:
        return short_repr(value, 500)
    return orjson.loads(data) if len(data) <= limit else short_repr(value, 500)


def to_storable_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return unknown fields of a row in a form that can be stored, at most 100 of them."""
    return {printable_key(key): to_storable(value) for key, value in islice(fields.items(), 100)}
