"""The numbers, sizes and totals that a page states about itself and about the whole list. Pure.

Services put these beside the rows, in an object there, or in headers. Names are compared without
case and punctuation: `totalCount`, `total_count` and `TotalCount` are one name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_RANGE = re.compile(r"\s*\w+\s+(\d+)-(\d+)/(\d+)\s*")
#: Objects of a page in which its numbers may stand, itself first.
_PLACES = (
    *((), ("meta",), ("pagination",), ("meta", "pagination"), ("page",), ("meta", "page")),
    *(("metadata",), ("pageInfo",), ("page_info",), ("paging",)),
)
_PAGE = ("page", "currentpage", "pagenumber", "number")
_PAGES = ("pages", "totalpages", "lastpage", "pagecount", "numpages")
_TOTAL = (
    *("total", "count", "totalcount", "totalelements", "totalitems", "totalrecords"),
    *("totalresults", "odatacount", "rows"),
)
_MORE = ("hasmore", "hasnext", "hasnextpage")
_LAST = ("last", "islast", "islastpage")
_OFFSET = ("offset", "skip", "startat", "start")
#: Names for the page size. `size` may also be the number of rows on the page.
_LIMIT = ("limit", "perpage", "pagesize", "pagelimit", "itemsperpage", "maxresults")
#: Headers with the number of rows of the whole list.
_TOTAL_HEADERS = (
    *("X-Total-Count", "X-Total", "X-WP-Total", "X-Pagination-Total-Count", "Total-Count"),
    "Total",
)


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

    @property
    def last_number(self) -> int | None:
        """Return the number of the last page. Spring counts from 0, and calls it `number`."""
        if self.pages is None:
            return None
        counts_from_zero = "number" in self.names and "page" not in self.names
        return self.pages - 1 if counts_from_zero else self.pages


def list_stated(envelope: Mapping[str, Any]) -> Iterator[Stated]:
    """Yield the statements of each object of a page."""
    for place, spelled in _list_objects(envelope):
        yield Stated(
            place,
            frozenset(find_in(envelope, place)),
            number=_find_number(spelled, _PAGE),
            pages=_find_number(spelled, _PAGES),
            offset=_find_number(spelled, _OFFSET),
            limit=_find_number(spelled, _LIMIT),
            size=_find_number(spelled, ("size", *_LIMIT)),
        )


def find_total(envelope: Mapping[str, Any], headers: Mapping[str, str]) -> int | None:
    """Return the number of rows in the whole list, as the page states it."""
    if stated := _RANGE.fullmatch(headers.get("Content-Range", "")):
        return int(stated[3])
    for name in _TOTAL_HEADERS:
        if (text := headers.get(name, "").strip()).isdecimal():
            return int(text)
    totals = (_find_number(spelled, _TOTAL) for _, spelled in _list_objects(envelope))
    return next((total for total in totals if total is not None), None)


def find_more(envelope: Mapping[str, Any]) -> bool | None:
    """Return whether the page states that more rows follow. None if it does not state this."""
    said = [
        spelled[name] is (name in _MORE)
        for _, spelled in _list_objects(envelope)
        for name in (*_MORE, *_LAST)
        if isinstance(spelled.get(name), bool)
    ]
    return any(said) if said else None


def find_in(envelope: Any, path: Sequence[str]) -> Any:
    """Return the value at a path of names, or None."""
    for name in path:
        envelope = envelope.get(name) if isinstance(envelope, Mapping) else None
    return envelope


def _list_objects(
    envelope: Mapping[str, Any],
) -> Iterator[tuple[Sequence[str], Mapping[str, Any]]]:
    for place in _PLACES:
        found = find_in(envelope, place)
        if isinstance(found, Mapping):
            yield place, {spell(name): value for name, value in found.items()}


def spell(name: str) -> str:
    """Return a name without case and punctuation."""
    return re.sub(r"[^a-z]", "", name.lower())


def _find_number(spelled: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the first number. Services that do not count say -1."""
    for name in names:
        value = spelled.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
