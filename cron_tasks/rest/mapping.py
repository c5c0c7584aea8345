"""CRON_TASKS_REST_MAPPING: translate another service's fields to those of docs/contract.md.

Each expression is JMESPath (https://jmespath.org/specification.html). `jobs` and `next` are
evaluated on a page, every other name on a row. A page is streamed if its `jobs` is a plain key. Any
other expression needs the page in memory. In that case `next` is evaluated on all of the page,
otherwise on the part beside the jobs.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jmespath

from cron_tasks.jobs.job import MAPPED_TO_NULL, MAPPING_ERROR
from cron_tasks.jobs.rejected import Unreadable
from cron_tasks.rest.rows import CONTRACT_PLACES, Document, Malformed
from cron_tasks.text.display import printable


class Shape:
    """The compiled mapping. All expressions are valid JMESPath, by the contract's field name."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        fields = dict(expressions)
        self._jobs = fields.pop("jobs", "")
        self._next = fields.pop("next", "next")
        key = _plain_key(self._jobs) if self._jobs else None
        self._places = (key,) if key else CONTRACT_PLACES
        self._in_memory = bool(self._jobs) and key is None
        if fields:
            fields = {"id": "id"} | fields
        self._fields = {name: _compile_expression(text) for name, text in fields.items()}
        self._moved = {_plain_key(text) for text in fields.values()}

    @property
    def maps_rows_alone(self) -> bool:
        """Return whether a row is the same in the list and by itself.

        An expression for `jobs` may leave rows out, or take them from inside of others.
        """
        return not self._in_memory

    def find_rows(self, document: Document) -> Iterator[Any]:
        """Yield the rows of a page as the service has them. Raises Malformed, maybe at the end."""
        if not self._in_memory:
            yield from document.read_rows(self._places)
            return
        found = _evaluate_on(jmespath.compile(self._jobs).search, "jobs", document.read_whole())
        if not isinstance(found, list):
            raise Malformed("has no array at the place of `jobs` in CRON_TASKS_REST_MAPPING")
        yield from found

    def find_next(self, envelope: Mapping[str, Any]) -> Any:
        """Return the reference to the next page, once the rows are read. Raises Malformed."""
        return _evaluate_on(_compile_expression(self._next), "next", envelope)

    def states_the_end(self, envelope: Mapping[str, Any]) -> bool:
        """Tell whether a page without a next one says so itself: by `next`, or by its mapping."""
        return self._next != "next" or "next" in envelope

    def map_row(self, row: Any) -> Any:
        """Return a row under the contract's names.

        A field that is mapped by a plain key does not also stay under its old name. A result of
        null leaves the field out. Where that silently enables a job, the row names the switch under
        MAPPED_TO_NULL, and the job gets a warning. If an expression fails, such as a function on a
        wrong type, the row becomes one with its id and the reason, which validation rejects and
        shows to people.
        """
        if not self._fields or not isinstance(row, dict):
            return row
        mapped: dict[str, Any] = {}
        try:
            for name, find in self._fields.items():
                mapped[name] = _evaluate_on(find, name, row)
        except Malformed as error:
            return {"id": mapped.get("id"), MAPPING_ERROR: str(error)}
        rest = {
            name: each
            for name, each in row.items()
            if name not in self._moved and name not in mapped
        }
        known = {name: each for name, each in mapped.items() if each is not None}
        silent = [name for name in ("enabled", "is_active") if name in mapped.keys() - known.keys()]
        found = rest | known | ({MAPPED_TO_NULL: silent} if silent else {})
        return Unreadable(found, row.reason) if isinstance(row, Unreadable) else found


def _evaluate_on(find: Callable[[Any], Any], name: str, value: Any) -> Any:
    try:
        return find(value)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        reason = printable(str(error))  # Usually a JMESPathError, which is a ValueError.
        raise Malformed(f"does not fit `{name}` of CRON_TASKS_REST_MAPPING: {reason}") from None


def _plain_key(text: str) -> str | None:
    """Return the key if the expression is a plain key, else None."""
    node = jmespath.compile(text).parsed
    return node["value"] if node["type"] == "field" else None


def _compile_expression(text: str) -> Callable[[Any], Any]:
    """Return a function that evaluates `text`. A plain key takes a tenth of JMESPath's time."""
    key = _plain_key(text)
    if key is None:
        return jmespath.compile(text).search
    return lambda value: value.get(key) if isinstance(value, dict) else None
