"""Mask secrets in texts that a service may have written in any encoding. Pure.

`mask_text` masks the common encodings of a secret. No such list is complete, so `occurs_in`
also decodes a text in every usual way. A text that still contains a secret must not be shown.
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

#: The most characters with which one character of a secret is encoded, e.g. `&#x00000041;`.
_MAX_PER_CHARACTER = 12
#: Layers of encodings that are decoded, e.g. those of `%2526amp%253B`.
_DEPTH = 3
#: Shorter pieces of base64 occur in any text.
_MIN_BASE64 = 4
#: The base64 of a shorter secret may occur in any other base64.
_LEAST_SPELLED = 8
#: Escapes of JSON, JavaScript, C and escape(): `\\u0026`, `\\u{26}`, `\\x26`, `%u0026`, `\\/`.
_ESCAPE = re.compile(
    r"[\\%]u([0-9a-f]{4})|\\u\{([0-9a-f]{1,6})\}|\\x([0-9a-f]{2})|\\(.)", re.IGNORECASE | re.DOTALL
)
_WHITE = {"n": "\n", "r": "\r", "t": "\t"}
_SPACE = re.compile(r"\s+")
_NOT_ALPHANUMERIC = re.compile("[^0-9a-z]+")


class Mask:
    """A set of secrets that no text may contain."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._spellings: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._values)

    def hide(self, value: str) -> None:
        """Mask a secret from now on."""
        self._values.add(value)
        self._spellings.update(_encode_secret(value))

    @property
    def longest(self) -> int:
        """Return the number of characters of the longest encoding of a secret."""
        return max(map(len, self._values), default=0) * _MAX_PER_CHARACTER

    def mask_text(self, text: str, limit: int | None = None) -> str:
        """Return the first `limit` characters of `text`, with `***` for each encoded secret.

        `text` has to continue for `longest` characters beyond `limit`, unless it ends before.
        """
        if not self._spellings:
            return text[:limit]
        longest_first = sorted(map(re.escape, self._spellings), key=len, reverse=True)
        pattern, end = re.compile("|".join(longest_first), re.IGNORECASE), limit
        for match in pattern.finditer(text):
            if limit is not None and match.start() < limit < match.end():
                end = match.end()
        return pattern.sub("***", text[:end])

    def occurs_in(self, text: str) -> bool:
        """Return whether `text` contains a secret: plain, escaped, in base64 or in hex."""
        if not self._values:
            return False
        plain = [_normalize(value).casefold() for value in self._values]
        bare = [value.encode().hex() for value in self._values]
        bare += [each for each in map(_strip_to_alphanumeric, plain) if len(each) >= _LEAST_SPELLED]
        encoded = [each for value in self._values for each in _encode_nested(value)]
        for decoded in map(_normalize, _decode_all(text)):
            folded = decoded.casefold()
            stripped = _strip_to_alphanumeric(folded)
            if (
                any(each in folded for each in plain)
                or any(each in stripped for each in bare)
                or any(each in decoded for each in encoded)
            ):
                return True
        return False


def _encode_secret(value: str) -> Iterator[str]:
    """Yield the common encodings of a secret. Their case does not matter."""
    yield from (value, repr(value)[1:-1], value.encode().hex())
    yield from (quote(value, safe=""), quote_plus(value))
    yield from (html.escape(value), html.escape(value).replace("&#x27;", "&#39;"))
    yield b64encode(value.encode()).decode()
    for ascii_only in (True, False):
        written = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield from (written, written.replace("/", "\\/"))  # as PHP writes it


def spell_secret(value: str) -> Iterator[str]:
    """Yield the common encodings of a secret, base64 of longer texts included."""
    yield from _encode_secret(value)
    if len(value) >= _LEAST_SPELLED:
        yield from _encode_base64_pieces(value)


def _encode_base64_pieces(value: str) -> Iterator[str]:
    """Yield the pieces that the base64 of any text around `value` contains, one for each
    alignment."""
    data = value.encode()
    for before in range(3):
        whole = b64encode(bytes(before) + data).decode()
        piece = whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        if len(piece) >= _MIN_BASE64:
            yield piece


def _encode_nested(value: str) -> Iterator[str]:
    """Yield pieces of base64, including those of the secret within a URL or JSON."""
    for spelled in {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}:
        yield from _encode_base64_pieces(spelled)


def _strip_to_alphanumeric(text: str) -> str:
    """Return a text without its punctuation, which services double, escape or insert."""
    return _NOT_ALPHANUMERIC.sub("", text)


def _normalize(text: str) -> str:
    """Return `text` without white space, in NFKC, and with URL-safe base64 as plain base64."""
    text = unicodedata.normalize("NFKC", text)
    return _SPACE.sub("", text).replace("-", "+").replace("_", "/")


def _decode_all(text: str) -> set[str]:
    """Return `text` and its decodings as URL, HTML, JSON and quoted-printable, including nested
    ones."""
    found, newest = {text}, {text}
    for _ in range(_DEPTH):
        newest = {decode(each) for each in newest for decode in _DECODERS} - found
        found |= newest
    return found


def _unescape(text: str) -> str:
    def decode_char(match: re.Match[str]) -> str:
        if match[4]:
            return _WHITE.get(match[4], match[4])
        code = int(match[1] or match[2] or match[3], 16)
        return chr(code) if code <= sys.maxunicode else ""

    # Two escapes may form a surrogate pair.
    return (
        _ESCAPE.sub(decode_char, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _decode_quoted_printable(text: str) -> str:
    return quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")


_DECODERS: tuple[Callable[[str], str], ...] = (
    unquote,
    unquote_plus,
    html.unescape,
    _unescape,
    _decode_quoted_printable,
)
