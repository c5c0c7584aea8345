"""`CRON_TASKS_REST_MAPPING`: another service's shape in the terms of the contract.

Each expression is JMESPath (https://jmespath.org/specification.html): `jobs` is sought in a
page, every other name in a row. A `jobs` that is a dotted path lets the page be streamed; any other
is evaluated over the whole page in memory, so a service with very big pages needs a path.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import jmespath

from cron_tasks.source.rows import Document, Malformed, Path
from cron_tasks.text import printable

#: Where the contract lets the array of jobs be; `()` is the page itself.
CONTRACT_PATHS: tuple[Path, ...] = ((), ("results",), ("items",), ("jobs",), ("data",))

_Search = Callable[[Any], Any]


class Shape:
    """The compiled mapping: field names of the contract to JMESPath, all of it valid."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        self._expressions = dict(expressions)
        jobs = self._expressions.pop("jobs", None)
        path = _path(_parsed(jobs)) if jobs else None
        self._paths = CONTRACT_PATHS if jobs is None else () if path is None else (path,)
        self._jobs = _search(jobs) if jobs and path is None else None
        self._fields = {name: _search(text) for name, text in self._expressions.items()}
        sources = (_path(_parsed(text)) for text in self._expressions.values())
        self._dropped = {path[0] for path in sources if path and len(path) == 1}

    def rows(self, document: Document) -> Iterator[Any]:
        """The rows of a page as the service has them; raises Malformed, possibly after rows."""
        if self._jobs is None:
            yield from document.rows(self._paths)
            return
        found = _apply(self._jobs, "jobs", document.whole())
        if not isinstance(found, list):
            raise Malformed("has no array where CRON_TASKS_REST_MAPPING says `jobs` are")
        yield from found

    def row(self, row: Any) -> Any:
        """A row under the contract's names.

        A field that was moved as it is does not stay under its old name too; a result of null
        leaves the field out. A row that an expression cannot take (a function on a wrong type)
        becomes one with its id and the reason, which validation rejects and people are shown.
        """
        if not self._fields or not isinstance(row, dict):
            return row
        try:
            mapped = {name: _apply(find, name, row) for name, find in self._fields.items()}
        except Malformed as error:
            return self._unmapped(row, str(error))
        kept = {
            name: value
            for name, value in row.items()
            if name not in self._dropped and name not in mapped
        }
        return kept | {name: value for name, value in mapped.items() if value is not None}

    def _unmapped(self, row: dict[str, Any], reason: str) -> dict[str, Any]:
        stub: dict[str, Any] = {"mapping_error": reason}
        try:
            identity = _apply(self._fields.get("id", _walk(("id",))), "id", row)
        except Malformed:
            return stub
        return {"id": identity} | stub


def _apply(find: _Search, name: str, value: Any) -> Any:
    try:
        return find(value)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        reason = printable(str(error))  # mostly a JMESPathError, which is a ValueError
        raise Malformed(f"does not fit `{name}` of CRON_TASKS_REST_MAPPING: {reason}") from None


def _parsed(text: str) -> dict[str, Any]:
    return cast("dict[str, Any]", jmespath.compile(text).parsed)


def _search(text: str) -> _Search:
    path = _path(_parsed(text))
    return jmespath.compile(text).search if path is None else _walk(path)


def _path(node: dict[str, Any]) -> Path | None:
    """The keys of a JMESPath that is nothing but keys; `@` has none."""
    if node["type"] == "current":
        return ()
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    steps = [_path(child) for child in node["children"]]
    return None if None in steps else tuple(key for step in steps if step for key in step)


def _walk(path: Path) -> _Search:
    """The same as JMESPath on `path`, ten times as fast."""

    def find(value: Any) -> Any:
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return find
