"""Shorten a JSON value that is too deep or too long to be decoded as it is.

Such a row is rejected, but its `id` has to be known, because its job keeps the last good version.
So the value is copied without the parts that make it deep or long, in pieces and in bounded memory.
"""

import re
from dataclasses import dataclass, field
from typing import Any

#: The most levels of arrays and objects in a row, and the most characters of its JSON. The longest
#: field of a job, with every character escaped, takes less than half of that.
DEEPEST, LONGEST = 100, 1 << 20
#: The most characters of a text, and of a nested array or object, in a copy. A text that is cut to
#: this length is still too long to be an id.
_LONG_TEXT, _LONG_PART = 2_000, 20_000
_mark = re.compile(r'["\[\]{}]')
_no_bracket = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_characters = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_whole_characters = re.compile(r'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+', re.DOTALL)
_text_or_bracket = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_PAIRS = {"[": "]", "{": "}"}


def is_deep(value: Any) -> bool:
    """Return whether a decoded value has more than DEEPEST levels of arrays and objects."""
    level = [value]
    for _ in range(DEEPEST):
        parts = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for part in parts for each in part if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def cut_levels(text: str, most: int) -> str:
    """Return JSON in which each array and object below `most` levels is null.

    If brackets do not match, the result is not JSON either.
    """
    pieces, level, start = [], 0, 0
    for found in _text_or_bracket.finditer(text):
        mark = found.group()
        if mark in _PAIRS:
            level += 1
            if level == most + 1:
                pieces.append(text[start : found.start()] + "null")
        elif mark in _PAIRS.values():
            if level == most + 1:
                start = found.end()
            level -= 1
    if level <= most:
        pieces.append(text[start:])
    return "".join(pieces)


@dataclass(slots=True)
class _Level:
    """The copy so far of an open array or object. It is cut once it is too long."""

    start: str
    most: int
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def is_cut(self) -> bool:
        return self.size > self.most

    def add_piece(self, piece: str) -> None:
        self.size += len(piece)
        if not self.is_cut:
            self.pieces.append(piece)

    def close_text(self) -> str:
        """Close and return the copy. If it is cut, it has only whole members."""
        if self.is_cut:
            while self.pieces and (self.pieces[-1][:1] in '"[{' or "," not in self.pieces[-1]):
                self.pieces.pop()
            self.pieces[-1:] = [piece.rpartition(",")[0] for piece in self.pieces[-1:]]
        return "".join((self.start, *self.pieces, _PAIRS[self.start]))


class Skim:
    """Copies one value (a text, an array or an object) that is fed in pieces."""

    def __init__(self) -> None:
        #: Whether the value has more than DEEPEST levels.
        self.deep = False
        self.copy = ""
        self._levels: list[_Level] = []
        self._hidden = 0
        self._text: list[str] | None = None
        self._escaped = False

    def feed(self, text: str, at: int) -> int | None:
        """Continue with `text` from `at`. Return where the value ends, or None if it goes on.

        Raises ValueError if a closing bracket does not match the open one.
        """
        while at < len(text):
            if self._text is not None:
                at = self._read_text(text, at)
            else:
                if self._is_dropping and (found := _no_bracket.match(text, at)):
                    at = found.end()
                mark = _mark.search(text, at)
                stop = mark.start() if mark else len(text)
                if stop > at:
                    self._add_piece(text[at:stop])
                if not mark:
                    return None
                at = mark.end()
                self._take_mark(mark.group())
            if self.copy:
                return at
        return None

    @property
    def _is_dropping(self) -> bool:
        """Return whether nothing is copied until the next bracket."""
        return bool(self._hidden or (self._levels and self._levels[-1].is_cut))

    def _take_mark(self, mark: str) -> None:
        if mark == '"':
            self._text = []
        elif mark in _PAIRS:
            self._open_level(mark)
        elif self._hidden:
            self._hidden -= 1
        else:
            level = self._levels.pop()
            if mark != _PAIRS[level.start]:
                raise ValueError(f"{mark!r} in place of {_PAIRS[level.start]}")
            self._add_piece(level.close_text())

    def _open_level(self, mark: str) -> None:
        deep = len(self._levels) >= DEEPEST
        self.deep |= deep
        if deep or self._is_dropping:
            if not self._hidden:
                self._add_piece("null")
            self._hidden += 1
        else:
            self._levels.append(_Level(mark, _LONG_PART if self._levels else LONGEST))

    def _add_piece(self, piece: str) -> None:
        if self._hidden:
            return
        if self._levels:
            self._levels[-1].add_piece(piece)
        else:
            self.copy = piece

    def _read_text(self, text: str, at: int) -> int:
        """Continue in a text. Return the position after its closing quotation mark, or of the end
        of `text`."""
        begin, at = at, at + self._escaped
        found = _characters.match(text, at)
        at = found.end() if found else at
        # A backslash at the end belongs to the next character.
        self._escaped = text[at : at + 1] == "\\"
        at += self._escaped
        assert self._text is not None
        if sum(map(len, self._text)) <= _LONG_TEXT:
            self._text.append(text[begin:at])
        if text[at : at + 1] != '"':
            return at
        whole = "".join(self._text)
        if len(whole) > _LONG_TEXT and (left := _whole_characters.match(whole[:_LONG_TEXT])):
            whole = left.group() + "…"
        self._text = None
        self._add_piece(f'"{whole}"')
        return at + 1
