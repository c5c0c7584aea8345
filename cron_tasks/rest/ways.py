"""The fields of a page that lead to the next one: addresses and cursors. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cron_tasks.rest.stated import find_in, spell, walk_objects

#: Paths to the address of the next page. The last key may hold an object with the address (HAL).
_ADDRESSES = (
    *(("links", "next"), ("_links", "next"), ("meta", "next"), ("pagination", "next")),
    *(("next_page_url",), ("next_url",), ("nextLink",), ("@odata.nextLink",), ("odata.nextLink",)),
    *(("nextPageUrl",), ("nextUrl",), ("next_link",), ("next_page_uri",), ("nextPageLink",)),
    *(("meta", "next_page_url"), ("meta", "links", "next"), ("paging", "next")),
    *(("pagination", "next_url"), ("pagination", "next_page_url"), ("pagination", "links", "next")),
    *(("view", "next"), ("hydra:view", "hydra:next"), ("__next",)),
)
_IN_OBJECT = ("href", "url", "link")
#: Paths to an object that may hold the query parameters of the next page (HubSpot).
_PARAMETERS = (("paging", "next"), ("pagination", "next"), ("meta", "next"), ("page", "next"))
#: Objects, or lists of objects with `rel` and `href`, that have the addresses of other pages.
_LINKS = ("links", "_links")
#: Paths to a cursor, and the query parameter that takes it.
_CURSORS = (
    (("metadata", "continue"), "continue"),
    (("next_cursor",), "cursor"),
    (("nextCursor",), "cursor"),
    (("meta", "next_cursor"), "cursor"),
    (("meta", "nextCursor"), "cursor"),
    (("pagination", "next_cursor"), "cursor"),
    (("pagination", "nextCursor"), "cursor"),
    (("response_metadata", "next_cursor"), "cursor"),
    (("cursor", "next"), "cursor"),
    (("next_page_token",), "page_token"),
    (("nextPageToken",), "pageToken"),
    (("next_token",), "next_token"),
    (("nextToken",), "nextToken"),
    (("NextToken",), "NextToken"),
    (("continuationToken",), "continuationToken"),
    (("next_page",), "cursor"),
)
#: Other names, as `spell` makes them, of fields and headers that lead to a next page.
_UNKNOWN = re.compile(
    r"(?:x|xms)?(?:next(?:page|cursor|offset|marker|token|link|url|uri|href|records|key)"
    r"|continuation|lastevaluatedkey|scrollid).*"
)


def find_address(envelope: Mapping[str, Any]) -> str | None:
    """Return the address of the next page, relative or absolute, or None."""
    for path in _ADDRESSES:
        found = find_in(envelope, path)
        if isinstance(found, Mapping):
            found = next((found[name] for name in _IN_OBJECT if name in found), None)
        if isinstance(found, str) and found:
            return found
    cursor = envelope.get("next_page")
    if isinstance(cursor, str) and is_address(cursor):
        return cursor
    return _find_in_list(envelope)


def is_address(text: str) -> bool:
    """Return whether a text is an address, and not a cursor."""
    return text.startswith(("http://", "https://", "/", "?"))


def find_cursor(envelope: Mapping[str, Any]) -> dict[str, str]:
    """Return the query parameters that ask for the next page, or nothing."""
    for place in _PARAMETERS:
        found = find_in(envelope, place)
        if isinstance(found, Mapping) and all(map(_is_cursor, found.values())):
            return {name: str(value) for name, value in found.items()}
    for path, parameter in _CURSORS:
        cursor = find_in(envelope, path)
        if path == ("next_page",) and not isinstance(cursor, str):
            continue  # This is the number of a page.
        if _is_cursor(cursor):
            return {parameter: str(cursor)}
    offset = envelope.get("offset")
    if isinstance(offset, str) and offset and not offset.isdecimal():
        return {"offset": offset}  # This cursor is Airtable's.
    return {}


def _is_cursor(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and bool(value)


def find_unknown_way(envelope: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[str, Any]:
    """Return the name and value of a field or header that leads to a next page; else `("", None)`.

    How the value asks for the page is not known.
    """
    fields = [(place, *field) for place, each in walk_objects(envelope) for field in each.items()]
    for place, name, value in (*fields, *(((), *header) for header in headers.items())):
        leads = _UNKNOWN.fullmatch(spell(name)) or (name == "next" and _is_way(place, value))
        if leads and value and value != -1:
            return name, value
    return "", None


def _is_way(place: Sequence[str], value: Any) -> bool:
    """Return whether a `next` in an object leads to a page. In some objects it may be a time."""
    if isinstance(value, str) and is_address(value):
        return True
    return bool(place) and spell(place[-1]).startswith(("pag", "meta", "list"))


def has_ways(envelope: Mapping[str, Any]) -> bool:
    """Return whether a page has a field for the link to the next one, even if it is empty."""
    paths = (*_ADDRESSES, *(path for path, _ in _CURSORS))
    return any(_has(envelope, path) for path in paths) or any(
        isinstance(envelope.get(name), Mapping | list) for name in _LINKS
    )


def _find_in_list(envelope: Mapping[str, Any]) -> str | None:
    for name in _LINKS:
        listed = envelope.get(name)
        for link in listed if isinstance(listed, list) else ():
            if isinstance(link, Mapping) and link.get("rel") == "next":
                target = link.get("href")
                return target if isinstance(target, str) and target else None
    return None


def _has(envelope: Mapping[str, Any], path: Sequence[str]) -> bool:
    parent = find_in(envelope, path[:-1])
    return isinstance(parent, Mapping) and path[-1] in parent
