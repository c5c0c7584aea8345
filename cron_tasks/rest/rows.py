"""Read the rows of one page of JSON a few at a time, so that no big list is in memory as a whole.

A small walker leads the standard library's decoder from row to row. Where it can, it has orjson
decode some thousand rows at once, which takes a third of the time. A text that begins at a row and
ends after a `}` is a sequence of whole rows if orjson accepts it in brackets: half a row has a
bracket or a text that is not closed. orjson alone would not keep the promises of the list. It needs
188 MB for 100,000 small rows, takes a page with two arrays of jobs, turns an integer above 64 bits
into another number, and refuses a list because of one lone surrogate. So a text with a long number,
with a row that is too deep, or that orjson refuses is decoded row by row.

ijson was tried. A lone surrogate becomes "?", an integer above 64 bits fails the list, and `next`
needs a second pass.
"""

import io
import json
import re
from collections.abc import Collection, Iterator
from typing import IO, Any

import orjson

from cron_tasks.jobs.rejected import Unreadable
from cron_tasks.rest.skim import DEEPEST, LONGEST, Skim, cut_levels, is_deep
from cron_tasks.text.display import short_repr

#: The places where the contract allows the array of jobs. `@` is the page itself.
CONTRACT_PLACES = ("@", "results", "items", "jobs", "data")
CHUNK = 1 << 16
#: An error or a number this close to the end of the text may change with more text.
EDGE = 16
_TOO_DEEP = f"the row is nested more than {DEEPEST} levels deep: leave out what is that deep"
_TOO_LONG = f"the row is longer than {LONGEST:,} characters: leave out what is that long"
_space = re.compile(r"[ \t\n\r]*")
#: Of this many places where rows may end, one is expected to be right.
_GUESSES = 3
_between_rows = re.compile(r"},[ \t\n\r]*{")
#: orjson decodes an integer beyond 64 bits as a float. 64 bits have up to 20 digits.
_LONG_NUMBER = b"0" * 19
_EACH_DIGIT_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else byte for byte in range(256))


class Malformed(Exception):
    """A page is not the JSON of the contract. The text completes the sentence "the answer …"."""


class NoArray(Malformed):
    """A page has no array of jobs. `finding` is the text without advice about a service."""

    def __init__(self, finding: str) -> None:
        super().__init__(
            f"{finding}; is it HTML? Check CRON_TASKS_REST_URL and CRON_TASKS_REST_JOBS_PATH; "
            "if the jobs are elsewhere in it, say where, "
            'e.g. CRON_TASKS_REST_MAPPING={"jobs": "path.to.them"}'
        )
        self.finding = finding


def _parse_integer(digits: str) -> int | float:
    # Python refuses to convert thousands of digits. No field accepts such a number anyway.
    return int(digits) if len(digits) < 640 else float(digits)


_decoder = json.JSONDecoder(parse_int=_parse_integer)


def refuse_deep(row: Any) -> Any:
    """Return a decoded row, or an Unreadable in its place if it is too deep."""
    if isinstance(row, dict) and is_deep(row):
        return Unreadable(row, _TOO_DEEP)
    return row


class Document:
    """One page, read once from front to end. `envelope` has the fields beside the rows."""

    def __init__(self, body: IO[bytes]) -> None:
        # RFC 8259, section 8.1: a byte order mark is wrong, but may be ignored.
        self._body = io.TextIOWrapper(body, "utf-8-sig", newline="")
        self._text = ""
        self._at = 0
        self._row = 0
        self._one_by_one = False
        self._found = ""
        self.envelope: dict[str, Any] = {}

    def read_rows(self, places: Collection[str]) -> Iterator[Any]:
        """Yield the elements of the one array at `places`: keys of the page, or `@` for itself.

        Raises Malformed, possibly after rows. The rows are valid only once the iteration has ended.
        """
        mark, start = self._peek_mark(), self._text[self._at :][:40]
        if mark == "[" and "@" in places:
            yield from self._read_array("@")
        elif mark == "{":
            yield from self._read_object(places)
        if not self._found:
            raise NoArray(
                f"starts with {short_repr(start)} and has no array of jobs at {', '.join(places)}"
            )
        if self._peek_mark():
            raise Malformed("continues after the end of its JSON")

    def read_whole(self) -> Any:
        """Return the page as one value in memory. Raises Malformed.

        A value that is too deep to be decoded becomes null. The row around it is still too deep.
        """
        text = self._body.read()
        try:
            try:
                value = _decoder.decode(text)
            except RecursionError:
                value = _decoder.decode(cut_levels(text, 3 * DEEPEST))
        except (ValueError, RecursionError) as error:
            raise Malformed(f"is not JSON: {error}") from None
        self.envelope = value if isinstance(value, dict) else {}
        return value

    def _read_array(self, place: str) -> Iterator[Any]:
        if self._found:
            raise Malformed(
                f"has arrays at {self._found} and {place}; say which holds the jobs, "
                f'e.g. CRON_TASKS_REST_MAPPING={{"jobs": "{place}"}}'
            )
        self._found = place
        self._at += 1
        mark = self._take_mark("]") if self._peek_mark() == "]" else ","
        while mark == ",":
            if rows := self._read_many():
                yield from rows
                self._row += len(rows)
            else:
                self._row += 1
                yield self._read_value()
            mark = self._take_mark(",]")
        self._row = 0

    def _read_object(self, places: Collection[str]) -> Iterator[Any]:
        self._at += 1
        mark = self._take_mark("}") if self._peek_mark() == "}" else ","
        while mark == ",":
            if self._peek_mark() != '"':
                self._take_mark('"')
            key: str = self._read_value()
            self._take_mark(":")
            if self._peek_mark() == "[" and key in places:
                yield from self._read_array(key)
            else:
                self.envelope[key] = self._read_value()
            mark = self._take_mark(",}")

    def _take_mark(self, marks: str) -> str:
        mark = self._peek_mark()
        if not mark:
            raise self._make_error("breaks off")
        if mark not in marks:
            raise self._make_error(f"is not JSON: {mark!r} in place of {' or '.join(marks)}")
        self._at += 1
        return mark

    def _peek_mark(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            if space := _space.match(self._text, self._at):
                self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_more():
                return ""

    def _read_many(self) -> list[Any]:
        """Return the rows up to the end of the last complete one in the text.

        Return an empty list if the next value has to be read separately.
        """
        self._peek_mark()
        if self._one_by_one or self._text[self._at : self._at + 1] != "{":
            return []
        end = len(self._text)
        for _ in range(_GUESSES):
            end = self._text.rfind("},", self._at, end) + 1
            if not end:
                break
            if _between_rows.match(self._text, end - 1) and (rows := self._decode_rows(end)):
                self._at = end
                return rows
        # Near the end of the text, read more before treating the next row as hard to read.
        if len(self._text) - self._at < CHUNK and self._read_more():
            return self._read_many()
        self._one_by_one = True
        return []

    def _decode_rows(self, end: int) -> list[Any]:
        """Return the rows of the text up to `end`, or an empty list if orjson may be wrong."""
        text = self._text[self._at : end].encode()
        # A regular expression for digits takes ten times as long.
        if len(text) > LONGEST or _LONG_NUMBER in text.translate(_EACH_DIGIT_TO_0):
            return []
        try:
            rows: list[Any] = orjson.loads(b"[%b]" % text)
        except ValueError:
            return []
        brackets = text.count(b"[") + text.count(b"{")
        if brackets - len(rows) >= DEEPEST and any(map(is_deep, rows)):
            return []
        return rows

    def _read_value(self) -> Any:
        """Return the next value. An object that is too deep or too long becomes an Unreadable."""
        self._peek_mark()
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                last = len(self._text)
                unended = error.msg.startswith("Unterminated string")
                if unended or error.pos > last - EDGE:
                    if self._is_long(last):
                        return self._skim_value()
                    if self._read_more():
                        continue
                cut = unended or error.pos >= last
                raise self._make_error(
                    "breaks off" if cut else f"is not JSON: {error.msg}"
                ) from None
            except RecursionError:
                return self._skim_value()
            if end > len(self._text) - EDGE and self._read_more():
                continue
            if end - self._at > 2 * DEEPEST and (self._is_long(end) or self._is_deep(end)):
                return self._skim_value()
            self._at = end
            return value

    def _is_long(self, end: int) -> bool:
        return end - self._at > LONGEST and self._text[self._at] in '"[{'

    def _is_deep(self, end: int) -> bool:
        # Few values have enough brackets to need a closer check.
        brackets = self._text.count("[", self._at, end) + self._text.count("{", self._at, end)
        if brackets <= DEEPEST:
            return False
        skim = Skim()
        skim.feed(self._text, self._at)
        return skim.deep

    def _skim_value(self) -> Any:
        """Return the rest of a value that is too deep or too long."""
        skim = Skim()
        try:
            while (end := skim.feed(self._text, self._at)) is None:
                self._at = len(self._text)
                if not self._read_more():
                    raise self._make_error("breaks off")
            value = _decoder.decode(skim.copy)
        except ValueError as error:
            raise self._make_error(f"is not JSON: {error}") from None
        self._at = end
        if not isinstance(value, dict):
            return value
        return Unreadable(value, _TOO_DEEP if skim.deep else _TOO_LONG)

    def _read_more(self) -> bool:
        """Read more text after the part that is not consumed. Return False at the end of the body.

        Reads at least as much text as is kept, so that a long value takes linear time.
        """
        kept = self._text[self._at :]
        try:
            added = self._body.read(max(CHUNK, len(kept)))
        except UnicodeDecodeError:
            raise self._make_error("is not UTF-8, as JSON has to be") from None
        if added:
            self._text, self._at = kept + added, 0
            self._one_by_one = False
        return bool(added)

    def _make_error(self, what: str) -> Malformed:
        return Malformed(f"{what} in row {self._row}" if self._row else what)
