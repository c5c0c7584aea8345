"""`CRON_TASKS_REST_MAPPING`: another service's shape in the terms of the contract.

Each expression is JMESPath (https://jmespath.org/specification.html): `jobs` and `next` are sought
in a page, every other name in a row. A page whose `jobs` is a plain key is streamed; any other
expression needs the page in memory, and with it `next` sees all of the page, not just what stands
beside the jobs.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jmespath

from cron_tasks.jobs.job import MAPPED_TO_NULL
from cron_tasks.jobs.rejected import Unreadable
from cron_tasks.rest.rows import CONTRACT_PLACES, Document, Malformed
from cron_tasks.text.display import printable


class Shape:
    """The compiled mapping: field names of the contract to JMESPath, all of it valid."""

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

    def rows(self, document: Document) -> Iterator[Any]:
        """The rows of a page as the service has them; raises Malformed, possibly after rows."""
        if not self._in_memory:
            yield from document.rows(self._places)
            return
        found = _evaluate_on(jmespath.compile(self._jobs).search, "jobs", document.read_whole())
        if not isinstance(found, list):
            raise Malformed("has no array where CRON_TASKS_REST_MAPPING says `jobs` are")
        yield from found

    def find_next(self, envelope: Mapping[str, Any]) -> Any:
        """What a page, whose rows were read, says of the next one. Raises Malformed."""
        return _evaluate_on(_compile_expression(self._next), "next", envelope)

    def map_row(self, row: Any) -> Any:
        """A row under the contract's names.

        A field that was moved as it is does not stay under its old name too; a result of null
        leaves the field out. Where that would enable a job in silence, the row says so under
        MAPPED_TO_NULL, and the job has a warning. A row that an expression cannot take (a function
        on a wrong type) becomes one with its id and the reason, which validation rejects and people
        are shown.
        """
        if not self._fields or not isinstance(row, dict):
            return row
        mapped: dict[str, Any] = {}
        try:
            for name, find in self._fields.items():
                mapped[name] = _evaluate_on(find, name, row)
        except Malformed as error:
            return {"id": mapped.get("id"), "mapping_error": str(error)}
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
        reason = printable(str(error))  # mostly a JMESPathError, which is a ValueError
        raise Malformed(f"does not fit `{name}` of CRON_TASKS_REST_MAPPING: {reason}") from None


def _plain_key(text: str) -> str | None:
    """The key that an expression is, when it is nothing else."""
    node = jmespath.compile(text).parsed
    return node["value"] if node["type"] == "field" else None


def _compile_expression(text: str) -> Callable[[Any], Any]:
    """What evaluates `text`; of a plain key ten times as fast as JMESPath."""
    key = _plain_key(text)
    if key is None:
        return jmespath.compile(text).search
    return lambda value: value.get(key) if isinstance(value, dict) else None
