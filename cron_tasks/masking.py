"""Texts that may repeat a secret, in whatever spelling. Pure.

Usual spellings are masked. No list of them is ever whole, so a text is read in every way that
services write texts as well, and one that still holds a secret is not to be shown at all.
"""

import html
import json
import quopri
import re
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

#: Characters in which a service may spell one, e.g. `&#x00000041;`.
MOST_PER_CHARACTER = 12
#: Readings on top of one another, e.g. of `%2526amp%253B`.
_DEPTH = 3
#: Shorter pieces of base64 stand in any text.
_LEAST_BASE64 = 4
#: Of JSON, JavaScript, C and escape(): `\\u0026`, `\\u{26}`, `\\x26`, `%u0026`, `\\/`.
_ESCAPE = re.compile(
    r"[\\%]u([0-9a-f]{4})|\\u\{([0-9a-f]{1,6})\}|\\x([0-9a-f]{2})|\\(.)", re.IGNORECASE | re.DOTALL
)
_WHITE = {"n": "\n", "r": "\r", "t": "\t"}
_SPACE = re.compile(r"\s+")


class Mask:
    """Secrets that no text may hold."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._spellings: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._values)

    def hide(self, value: str) -> None:
        """Mask a secret from now on."""
        self._values.add(value)
        self._spellings.update(_spellings(value))

    @property
    def longest(self) -> int:
        """Characters of the longest spelling of a secret."""
        return max(map(len, self._values), default=0) * MOST_PER_CHARACTER

    def masked(self, text: str, limit: int | None = None) -> str:
        """What `text` holds in its first `limit` characters, with `***` for every usual spelling.

        It has to go on for `longest` characters beyond, or else end there.
        """
        if not self._spellings:
            return text[:limit]
        longest_first = sorted(map(re.escape, self._spellings), key=len, reverse=True)
        pattern, end = re.compile("|".join(longest_first), re.IGNORECASE), limit
        for match in pattern.finditer(text):
            if limit is not None and match.start() < limit < match.end():
                end = match.end()
        return pattern.sub("***", text[:end])

    def is_in(self, text: str) -> bool:
        """Whether `text` holds a secret in any spelling: as it is, escaped, in base64, in hex."""
        if not self._values:
            return False
        plain = [_standard(value).casefold() for value in self._values]
        plain += [value.encode().hex() for value in self._values]
        encoded = [each for value in self._values for each in _in_base64(value)]
        return any(
            any(each in reading.casefold() for each in plain)
            or any(each in reading for each in encoded)
            for reading in map(_standard, _readings(text))
        )


def _spellings(value: str) -> Iterator[str]:
    """The usual ones; case does not count."""
    yield from (value, repr(value)[1:-1], value.encode().hex())
    yield from (quote(value, safe=""), quote_plus(value))
    yield from (html.escape(value), html.escape(value).replace("&#x27;", "&#39;"))
    yield b64encode(value.encode()).decode()
    for ascii_only in (True, False):
        written = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield from (written, written.replace("/", "\\/"))  # as PHP writes it


def _in_base64(value: str) -> Iterator[str]:
    """The characters that any base64 of a text with `value` in it holds, by where it begins."""
    data = value.encode()
    for before in range(3):
        whole = b64encode(bytes(before) + data).decode()
        piece = whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        if len(piece) >= _LEAST_BASE64:
            yield piece


def _standard(text: str) -> str:
    """`text` without spaces, full width as half width, base64 for URLs as any other."""
    text = unicodedata.normalize("NFKC", text)
    return _SPACE.sub("", text).replace("-", "+").replace("_", "/")


def _readings(text: str) -> set[str]:
    """`text`, and what it says where it is percent-encoded, HTML, JSON or quoted-printable."""
    found, newest = {text}, {text}
    for _ in range(_DEPTH):
        newest = {read(each) for each in newest for read in _READINGS} - found
        found |= newest
    return found


def _unescaped(text: str) -> str:
    def char(match: re.Match[str]) -> str:
        if match[4]:
            return _WHITE.get(match[4], match[4])
        code = int(match[1] or match[2] or match[3], 16)
        return chr(code) if code <= sys.maxunicode else ""

    # Two escapes may make one character beyond the first plane.
    return _ESCAPE.sub(char, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _quoted_printable(text: str) -> str:
    return quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")


_READINGS: tuple[Callable[[str], str], ...] = (
    unquote,
    unquote_plus,
    html.unescape,
    _unescaped,
    _quoted_printable,
)
