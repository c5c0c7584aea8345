"""Text and values from outside, made safe to show on a terminal or in a log line, and to store.

A row of the REST service may hold anything: control sequences, megabytes, halves of surrogate
pairs. What a person sees of it is one line of printable characters of bounded length.
"""

import reprlib
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

import orjson

#: Controls, formatting (bidi overrides among them), surrogates, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Formatting characters that emoji and several scripts cannot do without.
_JOINERS = frozenset("\u200c\u200d")

#: Bounds of JSON that is stored with a job: levels of nesting, bytes.
MAX_DEPTH = 32
MAX_BYTES = 65_536


def printable(text: str, limit: int = 200) -> str:
    """`text` as one line of at most `limit` characters; what is not printable is escaped."""
    head = text[: limit + 1]
    if not head.isprintable():
        head = "".join(map(_escaped, head))
    return head if len(head) <= limit else head[: limit - 1] + "…"


def _escaped(char: str) -> str:
    if unicodedata.category(char) in _UNSAFE and char not in _JOINERS:
        return char.encode("unicode_escape").decode()
    return char


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else "a huge number"


def shown(value: Any, limit: int = 60) -> str:
    """`repr` of any value, as one printable line of at most `limit` characters."""
    short = _Short()
    short.maxstring = short.maxother = short.maxlong = limit
    return printable(short.repr(value), limit)


def json_fault(value: Any, depth: int = MAX_DEPTH) -> str | None:
    """Why `value` cannot be stored as JSON, in words that follow "which"; None when it can."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if encodable(value) else "holds half of a surrogate pair"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "holds a number beyond 64 bits"
    if isinstance(value, float):
        return None if abs(value) < float("inf") else "holds NaN or Infinity"
    if depth == 0:
        return f"is nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, list):
        return next(filter(None, (json_fault(each, depth - 1) for each in value)), None)
    if isinstance(value, dict):
        if not all(isinstance(key, str) and encodable(key) for key in value):
            return "holds a key that is not Unicode text"
        return json_fault(list(value.values()), depth)
    return f"holds a {type(value).__name__}"


def encodable(text: str) -> bool:
    """Whether `text` can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(value: Any, limit: int = 4096) -> Any:
    """`value` itself when JSON can hold it within `limit` bytes, else a text that shows it."""
    if json_fault(value) is None and len(orjson.dumps(value)) <= limit:
        return value
    return shown(value, 500)


def kept(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Unknown fields in a form that can be stored: at most 100, names of at most 60 characters."""
    return {name_of(key): storable(value) for key, value in islice(fields.items(), 100)}


def name_of(key: Any) -> str:
    """The key of a row as a printable name, for messages."""
    return printable(key if isinstance(key, str) else shown(key), 60)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known name nearest to `word`: one typing error away, or of which it is a part."""
    word, names = word[:60].lower(), list(known)
    if near := get_close_matches(word, names, 1, cutoff=0.75):
        return near[0]
    return next((name for name in names if len(word) > 3 and word in name), None)
