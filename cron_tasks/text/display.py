"""Text and values from outside, made safe to show on a terminal or in a log line, and to store.

A row of the REST service may hold anything: control sequences, megabytes, halves of surrogate
pairs. What a person sees of it is one line of printable characters of bounded length.
"""

import json
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from itertools import chain, islice
from typing import Any

import orjson

#: Controls, formatting (bidi overrides among them), surrogates, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Formatting characters that emoji and several scripts cannot do without.
_JOINERS = frozenset("\u200c\u200d")
#: Levels of JSON that is stored; orjson itself stops at 254, wherever the value then stands.
MAX_DEPTH = 32
#: Bytes of an action's output that are kept.
MOST_OUTPUT = 4096


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


def to_json(value: Any) -> bytes:
    """`value` as JSON; NaN becomes null. Raises ValueError on what JSON cannot hold, or so deep."""
    if _deeper(value, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper(each, levels - 1) for each in inner)


def storable(value: Any, limit: int = 4096) -> Any:
    """`value` as JSON of at most `limit` bytes gives it back, else a text that shows it."""
    if isinstance(value, str) and value.isascii() and len(value) * 6 < limit:
        return value
    try:
        data = to_json(value)
    except ValueError:
        return shown(value, 500)
    return orjson.loads(data) if len(data) <= limit else shown(value, 500)


def kept(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Unknown fields in a form that can be stored: at most 100, names of at most 60 characters."""
    return {name_of(key): storable(value) for key, value in islice(fields.items(), 100)}


def name_of(key: Any) -> str:
    """The key of a row as a printable name, for messages."""
    return printable(key if isinstance(key, str) else shown(key), 60)


def is_utf8(text: str) -> bool:
    """Whether a text from Redis was valid UTF-8; other bytes are read as surrogates."""
    return not any("\udc80" <= char <= "\udcff" for char in text)


def did_you_mean(
    word: str,
    known: Iterable[str],
    cutoff: float = 0.75,
    valid: Callable[[str], object] = lambda _: True,
) -> str | None:
    """Return the known name nearest to `word`: similar to it, or one contained in the other.

    A name that is `word` itself, or that `valid` refuses, would help nobody and is passed over.
    """
    names = {name.casefold(): name for name in known if name != word}
    word = word[:60].casefold()
    near = get_close_matches(word, names, 5, cutoff)
    parts = (name for name in names if len(min(word, name, key=len)) > 3)
    within = (name for name in parts if word in name or name in word)
    return next((names[name] for name in chain(near, within) if valid(names[name])), None)


def suggestion(
    word: str, known: Iterable[str], valid: Callable[[str], object] = lambda _: True
) -> str:
    """`"; did you mean 'FRI'?"` or nothing."""
    near = did_you_mean(word, known, 0.6, valid)
    return f"; did you mean {near!r}?" if near else ""


def output(text: str) -> str | None:
    """What is kept of an action's output: the beginning of `text`, its lines as they are and all
    else printable; None if empty."""
    lines = text[:MOST_OUTPUT].splitlines()
    safe = "\n".join(printable(line.expandtabs(), MOST_OUTPUT) for line in lines).strip("\n")
    return safe.encode()[:MOST_OUTPUT].decode(errors="ignore") or None


def output_of(result: Any) -> str | None:
    """Return what is kept of a value that an action or a task returned; None if it is empty.

    A text is kept as it is, bytes as the text that they encode, anything else as JSON.
    """
    if result is None or isinstance(result, str):
        return output(result or "")
    if isinstance(result, bytes | bytearray | memoryview):
        return output(bytes(result[:MOST_OUTPUT]).decode(errors="replace"))
    try:
        return output(_beginning(result))
    except Exception:
        # A cycle, a key that is not a text, a value whose own text fails.
        return output(shown(result, MOST_OUTPUT))


def _beginning(value: Any) -> str:
    """Return the beginning of `value` as JSON, without encoding all of a huge value."""
    made, length = list[str](), 0
    for part in json.JSONEncoder(ensure_ascii=False, default=_plain).iterencode(value):
        made.append(part)
        length += len(part)
        if length > MOST_OUTPUT:
            break
    return "".join(made)


def _plain(value: Any) -> str:
    """Return what stands for a value that JSON does not have."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="replace")
    return str(value)
