"""The numbers, sizes and totals that a page states about itself and about the whole list. Pure.

Services put these beside the rows, in an object there, or in headers. Names are compared without
case and punctuation: `totalCount`, `total_count` and `TotalCount` are one name. PHP writes numbers
as texts.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_RANGE = re.compile(r"\s*(?:(?!bytes)\w+\s+)?(\d+)-(\d+)/(\d+)\s*")
#: Names of objects in which the numbers of a page stand: in itself, or one in the other. Objects of
#: other names (`stats`, `quota`) count other things.
_PLACE = re.compile(
    r"(?:list|pag(?:e|ing|ination|er)|results?|resultset|response|search|query|collection)?"
    r"(?:meta|metadata|info|summary)"
    r"|page|paging|pagination|pager|paginator|totals|resultset|view"
)
_PAGE = ("page", "currentpage", "pagenumber", "number")
_PAGES = ("pages", "totalpages", "lastpage", "pagecount", "numpages")
_ROWS = ("item", "element", "record", "result", "row", "object", "doc", "document", "job")
_TOTAL = (
    *("total", "totalcount", "totalsize", "totalhits", "totalentries", "totalnumber"),
    *(f"total{row}s" for row in _ROWS),
    *(f"total{row}count" for row in _ROWS),
    *("recordsfiltered", "recordstotal", "numfound", "nbhits"),
)
#: These may also count the rows of the page.
_COUNTS = ("count", "rows")
_ROW_COUNTS = tuple(name for row in _ROWS for name in (f"{row}count", f"{row}scount", f"num{row}s"))
_MORE = (
    *("hasmore", "hasnext", "hasnextpage", "hasmorepages", "hasmoreitems", "hasmoreresults"),
    *("hasmorerows", "hasmorerecords", "hasmoredata", "more", "moreavailable"),
    *("truncated", "istruncated", "partial", "ispartial", "incomplete", "incompleteresults"),
)
_LAST = ("last", "islast", "islastpage", "done")
_OFFSET = ("offset", "skip", "startat", "start")
#: Names for the page size. `size` may also be the number of rows on the page.
_LIMIT = ("limit", "perpage", "pagesize", "pagelimit", "itemsperpage", "maxresults")
_NEXT_NUMBER = ("nextpage", "nextpagenumber")
#: What headers may state, after `X-`: `X-Total-Count`, `X-WP-TotalPages`, `X-Next-Page`.
_IN_HEADERS = {
    *("page", "currentpage", "perpage", "pagesize", "pageitems"),
    *(*_PAGES, *_TOTAL, *_COUNTS, *_MORE, *_NEXT_NUMBER),
}
_HEADER_PREFIX = re.compile(r"(?:x-)?(?:wp-|pagination-)?", re.IGNORECASE)
#: Headers that hold an object (ASP.NET).
_OBJECT_HEADERS = ("X-Pagination", "Pagination")


@dataclass(frozen=True, slots=True)
class Stated:
    """The numbers in one object of a page. Each is None if the object does not have it.

    `place` is the path to the object, and `names` are the names in it, as the service spells them.
    """

    place: Sequence[str]
    names: frozenset[str]
    number: int | None
    pages: int | None
    offset: int | None
    limit: int | None
    size: int | None
    next_number: int | None

    @property
    def offset_name(self) -> str:
        """Return the query parameter for `offset`, which has the same name."""
        return self._find_name(_OFFSET, "offset")

    @property
    def limit_name(self) -> str:
        """Return the query parameter for `limit`, which has the same name."""
        return self._find_name(_LIMIT, "limit")

    def _find_name(self, names: Sequence[str], otherwise: str) -> str:
        return next((name for name in self.names if spell(name) in names), otherwise)

    def counts_from_zero(self, rows_before: int) -> bool:
        """Return whether the first page is 0. Spring calls the number of a page `number`."""
        if "number" in self.names and "page" not in self.names:
            return True
        return self.number == 0 or (self.number or 0) * (self.size or 0) == rows_before > 0

    def last_number(self, rows_before: int) -> int | None:
        """Return the number of the last page, where `rows_before` came before this one."""
        if self.pages is None:
            return None
        return self.pages - 1 if self.counts_from_zero(rows_before) else self.pages


def list_stated(envelope: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Stated]:
    """Yield what each object of a page states, and its headers."""
    for place, found, spelled in _list_objects(envelope, headers):
        yield Stated(
            place,
            frozenset(found),
            number=_find_number(spelled, _PAGE),
            pages=_find_number(spelled, _PAGES),
            offset=_find_number(spelled, _OFFSET),
            limit=_find_number(spelled, _LIMIT),
            size=_find_number(spelled, ("size", *_LIMIT)),
            next_number=_find_number(spelled, _NEXT_NUMBER),
        )


def find_total(envelope: Mapping[str, Any], headers: Mapping[str, str], rows: int) -> int | None:
    """Return the number of rows in the whole list, as a page of so many rows states it.

    A `count` that is not above the rows of the page may be their number, and is not a total.
    """
    if stated := _RANGE.fullmatch(headers.get("Content-Range", "")):
        return int(stated[3])
    found = [spelled for _, _, spelled in _list_objects(envelope, headers)]
    totals = (_find_number(spelled, _TOTAL) for spelled in found)
    if (total := next((each for each in totals if each is not None), None)) is not None:
        return total
    counts = (_find_number(spelled, (*_COUNTS, *_ROW_COUNTS)) for spelled in found)
    return next((count for count in counts if count is not None and count > rows), None)


def find_more(envelope: Mapping[str, Any], headers: Mapping[str, str]) -> bool | None:
    """Return whether the page states that more rows follow. None if it does not state this."""
    said = [
        flag is (name in _MORE)
        for _, _, spelled in _list_objects(envelope, headers)
        for name in (*_MORE, *_LAST)
        if (flag := _read_flag(spelled.get(name), may_count=name in _MORE)) is not None
    ]
    return any(said) if said else None


def find_in(envelope: Any, path: Sequence[str]) -> Any:
    """Return the value at a path of names, or None."""
    for name in path:
        envelope = envelope.get(name) if isinstance(envelope, Mapping) else None
    return envelope


def _list_objects(
    envelope: Mapping[str, Any], headers: Mapping[str, str]
) -> Iterator[tuple[Sequence[str], Mapping[str, Any], Mapping[str, Any]]]:
    """Yield each object with its place, as it is and with spelled names. Headers come first."""
    stated = {spell(_HEADER_PREFIX.sub("", name, 1)): text for name, text in headers.items()}
    yield (), {}, {name: text for name, text in stated.items() if name in _IN_HEADERS}
    for name in _OBJECT_HEADERS:
        held = _read_object(headers.get(name, ""))
        yield (), held, _spell_names(held)
    for place, found in walk_objects(envelope):
        yield place, found, _spell_names(found)


def walk_objects(
    envelope: Mapping[str, Any], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield an object and those at places in it, each with its place. Outer ones come first."""
    yield place, envelope
    if len(place) < 2:
        for name, value in envelope.items():
            if isinstance(value, Mapping) and _PLACE.fullmatch(spell(name)):
                yield from walk_objects(value, (*place, name))


def _spell_names(found: Mapping[str, Any]) -> dict[str, Any]:
    return {spell(name): value for name, value in found.items()}


def _read_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def spell(name: str) -> str:
    """Return a name without case, punctuation, and the prefix of OData and Hydra."""
    return re.sub(r"^(?:@?odata\.|hydra:)|[^a-z]", "", name.lower())


def _find_number(spelled: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the first number. Services that do not count say -1."""
    numbers = (_read_number(spelled.get(name)) for name in names)
    return next((number for number in numbers if number is not None), None)


def _read_number(value: Any) -> int | None:
    """Return a whole number from 0, which may be a text, or in an object (Elasticsearch)."""
    if isinstance(value, Mapping):
        at_least = value.get("relation") == "gte"
        number = _read_number(value.get("value")) if "value" in value else None
        return number if number is None else number + at_least
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isdecimal() and len(text) < 20 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value >= 0 and value % 1 == 0 else None


def _read_flag(value: Any, may_count: bool) -> bool | None:
    """Return a flag. With `may_count` it may be a number: 0 is false (PHP)."""
    if may_count and (number := _read_number(value)) is not None:
        return number > 0
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None
