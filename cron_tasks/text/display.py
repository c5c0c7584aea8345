"""Make untrusted text and values safe to show on a terminal or in a log line.

A row of the REST service may contain anything: control sequences, megabytes, halves of surrogate
pairs. People see one line of printable characters of bounded length.
"""

import reprlib
import unicodedata
from typing import Any

#: Controls, formatting (bidi overrides among them), surrogates, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Formatting characters that emoji and several scripts need.
_JOINERS = frozenset("\u200c\u200d")


def printable(text: str, limit: int = 200) -> str:
    """Return `text` as one line of at most `limit` characters, with unprintable ones escaped."""
    head = text[: limit + 1]
    if not head.isprintable():
        head = "".join(map(_escape_char, head))
    return head if len(head) <= limit else head[: limit - 1] + "…"


def _escape_char(char: str) -> str:
    if unicodedata.category(char) in _UNSAFE and char not in _JOINERS:
        return char.encode("unicode_escape").decode()
    return char


class _ShortRepr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else "a huge number"


def short_repr(value: Any, limit: int = 60) -> str:
    """Return the `repr` of any value as one printable line of at most `limit` characters."""
    short = _ShortRepr()
    short.maxstring = short.maxother = short.maxlong = limit
    return printable(short.repr(value), limit)


def printable_key(key: Any) -> str:
    """Return a key of a row as a printable name for messages, at most 60 characters long."""
    return printable(key if isinstance(key, str) else short_repr(key), 60)


def sort_key(job_id: str) -> tuple[bool, int, str]:
    """Return the key by which ids are sorted: numbers in their order, then names."""
    number = job_id.isascii() and job_id.isdigit()
    return not number, int(job_id) if number else 0, job_id


def cell_width(text: str) -> int:
    """Return the columns of a terminal that a text takes. Chinese and emoji take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, width: int) -> str:
    """Return `text`, cut so that it takes at most `width` columns of a terminal."""
    if cell_width(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1).rstrip() + "…"


def wrap(text: str, width: int) -> list[str]:
    """Return `text` as lines of at most `width` columns, broken between words where possible."""
    if cell_width(text) <= width:
        return [text]
    from rich.console import Console
    from rich.text import Text

    lines = Text(text).wrap(Console(width=width), width, overflow="fold")
    return [line.plain.rstrip() for line in lines]


def is_utf8(text: str) -> bool:
    """Return whether a text from Redis was valid UTF-8. Other bytes are read as surrogates."""
    return not any("\udc80" <= char <= "\udcff" for char in text)
