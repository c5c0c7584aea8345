"""Rows out of one page of JSON, one at a time, so that a big list is never in memory as a whole.

The standard decoder does the parsing and a small walker moves it along. ijson is somewhat faster
(100,000 small rows in 0.14 s against 0.22 s), but it changes what it reads (a lone surrogate
becomes "?", an integer above 64 bits fails the list) and needs a second pass to find `next`.
"""

import io
import json
import re
from collections.abc import Collection, Iterator
from typing import IO, Any

from cron_tasks.jobs.job import Unreadable
from cron_tasks.rest.skim import DEEPEST, LONGEST, Skim
from cron_tasks.text.display import short_repr

#: Where the contract lets the array of jobs be; `@` is the page itself.
CONTRACT_PLACES = ("@", "results", "items", "jobs", "data")
CHUNK = 1 << 18
#: An error or a number this close to the end of the text may be none once more text is there.
EDGE = 16
_TOO_DEEP = f"the row is nested more than {DEEPEST} levels deep: leave out what is that deep"
_TOO_LONG = f"the row is longer than {LONGEST:,} characters: leave out what is that long"
_space = re.compile(r"[ \t\n\r]*")


class Malformed(Exception):
    """A page is not the JSON of the contract; the text completes "the answer ..."."""


def _integer(digits: str) -> int | float:
    """Python refuses to convert thousands of digits; no field takes such a number anyway."""
    return int(digits) if len(digits) < 640 else float(digits)


_decoder = json.JSONDecoder(parse_int=_integer)


class Document:
    """One page, read once from front to end. `envelope` is what stands beside the rows."""

    def __init__(self, body: IO[bytes]) -> None:
        # RFC 8259, section 8.1: a byte order mark is wrong, but may be ignored.
        self._body = io.TextIOWrapper(body, "utf-8-sig", newline="")
        self._text = ""
        self._at = 0
        self._row = 0
        self._found = ""
        self.envelope: dict[str, Any] = {}

    def rows(self, places: Collection[str]) -> Iterator[Any]:
        """The elements of the one array at one of `places`: keys of the page, or `@` for itself.

        Raises Malformed, possibly after rows: they count only when the iteration ends.
        """
        mark, start = self._peek(), self._text[self._at :][:40]
        if mark == "[" and "@" in places:
            yield from self._array("@")
        elif mark == "{":
            yield from self._object(places)
        if not self._found:
            raise Malformed(
                f"starts with {short_repr(start)} and has no array of jobs at {', '.join(places)}; "
                "is it HTML? Check CRON_TASKS_REST_URL and CRON_TASKS_REST_JOBS_PATH; "
                "if the jobs are elsewhere in it, say where, "
                'e.g. CRON_TASKS_REST_MAPPING={"jobs": "path.to.them"}'
            )
        if self._peek():
            raise Malformed("goes on after the end of its JSON")

    def whole(self) -> Any:
        """The page as one value, in memory. Raises Malformed."""
        try:
            value = _decoder.decode(self._body.read())
        except (ValueError, RecursionError) as error:
            raise Malformed(f"is not JSON: {error}") from None
        self.envelope = value if isinstance(value, dict) else {}
        return value

    def _array(self, place: str) -> Iterator[Any]:
        if self._found:
            raise Malformed(
                f"has arrays at {self._found} and {place}; say which holds the jobs, "
                f'e.g. CRON_TASKS_REST_MAPPING={{"jobs": "{place}"}}'
            )
        self._found = place
        self._at += 1
        mark = self._take("]") if self._peek() == "]" else ","
        while mark == ",":
            self._row += 1
            yield self._value()
            mark = self._take(",]")
        self._row = 0

    def _object(self, places: Collection[str]) -> Iterator[Any]:
        self._at += 1
        mark = self._take("}") if self._peek() == "}" else ","
        while mark == ",":
            if self._peek() != '"':
                self._take('"')
            key: str = self._value()
            self._take(":")
            if self._peek() == "[" and key in places:
                yield from self._array(key)
            else:
                self.envelope[key] = self._value()
            mark = self._take(",}")

    def _take(self, marks: str) -> str:
        mark = self._peek()
        if not mark:
            raise self._wrong("breaks off")
        if mark not in marks:
            raise self._wrong(f"is not JSON: {mark!r} in place of {' or '.join(marks)}")
        self._at += 1
        return mark

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            if space := _space.match(self._text, self._at):
                self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> Any:
        """The next value; an object that is too deep or too long becomes Unreadable."""
        self._peek()
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                last = len(self._text)
                unended = error.msg.startswith("Unterminated string")
                if unended or error.pos > last - EDGE:
                    if self._is_long(last):
                        return self._skim()
                    if self._more():
                        continue
                cut = unended or error.pos >= last
                raise self._wrong("breaks off" if cut else f"is not JSON: {error.msg}") from None
            except RecursionError:
                return self._skim()
            if end > len(self._text) - EDGE and self._more():
                continue
            if end - self._at > 2 * DEEPEST and (self._is_long(end) or self._is_deep(end)):
                return self._skim()
            self._at = end
            return value

    def _is_long(self, end: int) -> bool:
        return end - self._at > LONGEST and self._text[self._at] in '"[{'

    def _is_deep(self, end: int) -> bool:
        """Whether the value up to `end` is; few have enough brackets to be worth a closer look."""
        brackets = self._text.count("[", self._at, end) + self._text.count("{", self._at, end)
        if brackets <= DEEPEST:
            return False
        skim = Skim()
        skim.feed(self._text, self._at)
        return skim.deep

    def _skim(self) -> Any:
        """What is left of a value that is too deep or too long."""
        skim = Skim()
        try:
            while (end := skim.feed(self._text, self._at)) is None:
                self._at = len(self._text)
                if not self._more():
                    raise self._wrong("breaks off")
            value = _decoder.decode(skim.copy)
        except ValueError as error:
            raise self._wrong(f"is not JSON: {error}") from None
        self._at = end
        if not isinstance(value, dict):
            return value
        return Unreadable(value, _TOO_DEEP if skim.deep else _TOO_LONG)

    def _more(self) -> bool:
        """Read on, keeping what is not consumed; False at the end of the body.

        Reads at least as much again as is kept, so that a long value costs linear time.
        """
        kept = self._text[self._at :]
        try:
            added = self._body.read(max(CHUNK, len(kept)))
        except UnicodeDecodeError:
            raise self._wrong("is not UTF-8, as JSON has to be") from None
        if added:
            self._text, self._at = kept + added, 0
        return bool(added)

    def _wrong(self, what: str) -> Malformed:
        return Malformed(f"{what} in row {self._row}" if self._row else what)
