"""CRON_TASKS_REST_MAPPING: translate another service's fields to those of docs/contract.md.

settings/expressions.py compiles the expressions. `jobs` and `next` are evaluated on a page, every
other name on a row. A page is streamed if its `jobs` is a plain key. Any other expression needs the
page in memory. In that case `next` is evaluated on all of the page, otherwise on the part beside
the jobs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cron_tasks.jobs.rejected import Unreadable
from cron_tasks.jobs.row import DISPLAYED, LEFT_OUT, MAPPED_TO_NULL, SWITCHES
from cron_tasks.rest.rows import CONTRACT_PLACES, Document, Malformed, refuse_deep
from cron_tasks.schedules.parse import RULE_FIELDS
from cron_tasks.settings.expressions import (
    compile_expression,
    find_leading_keys,
    find_plain_key,
    list_compared_fields,
)
from cron_tasks.text.display import printable, printable_key
from cron_tasks.text.english import number_of

#: Every job needs one field of each group.
_NEEDED = (("id",), ("name",), RULE_FIELDS)
_SETTING = "CRON_TASKS_REST_MAPPING"
#: The most fields of a row that a message names.
_NAMED = 12


@dataclass(slots=True)
class Finds:
    """The results of a mapping: the expressions that found something in the rows of one list.

    `missing` are the groups of needed fields that no row had so far, each with the expressions of
    its mapped fields. `failure` is why the first row was not mapped. `fields` are the fields of
    that row, or of the first one.
    """

    missing: list[dict[str, str]] = field(default_factory=list)
    rows: int = 0
    failed: int = 0
    failure: str = ""
    fields: tuple[Any, ...] = ()

    def note_mapped(self, row: Mapping[str, Any], mapped: Mapping[str, Any]) -> None:
        self.rows += 1
        if self.missing:
            self.fields = self.fields or tuple(row)
            self.missing = [group for group in self.missing if not _holds_any(mapped, group)]

    def note_failed(self, failure: str) -> None:
        self.rows += 1
        self.failed += 1
        self.failure = self.failure or failure

    def explain_fault(self) -> str | None:
        """Return why the mapping does not fit the list as a whole, or None if it fits some row."""
        if self.rows and self.failed == self.rows:
            return f"each of {number_of(self.rows, 'row')} {self.failure}"
        if not self.rows or not self.missing:
            return None
        found = number_of(self.rows - self.failed, "row")
        faults = "; ".join(_describe_group(group, found) for group in self.missing)
        have = ", ".join(printable_key(name) for name in self.fields[:_NAMED])
        more = ", …" if len(self.fields) > _NAMED else ""
        return f"{_SETTING}: {faults}; they have: {have}{more}"


def _holds_any(mapped: Mapping[str, Any], group: Mapping[str, str]) -> bool:
    names = RULE_FIELDS if group.keys() <= set(RULE_FIELDS) else group
    return any(mapped.get(name) is not None for name in names)


def _describe_group(group: Mapping[str, str], rows: str) -> str:
    named = " and ".join(f"`{name}` is `{printable(text)}`" for name, text in group.items())
    return f"{named}, which find{'s' * (len(group) == 1)} nothing in any of {rows}"


class Shape:
    """The compiled mapping. All expressions are valid, by the contract's field name."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        fields = dict(expressions)
        self._jobs = fields.pop("jobs", "")
        self._next = fields.pop("next", "next")
        key = find_plain_key(self._jobs) if self._jobs else None
        self._places = (key,) if key else CONTRACT_PLACES
        self._in_memory = bool(self._jobs) and key is None
        self._around = find_leading_keys(self._jobs)[:-1] if self._in_memory else ()
        groups = ({name: fields[name] for name in names if name in fields} for names in _NEEDED)
        self._needed = [group for group in groups if group]
        if fields:
            fields = {"id": "id"} | fields
        self._fields = {name: compile_expression(text) for name, text in fields.items()}
        self._compared = {
            name: list_compared_fields(fields[name]) for name in SWITCHES if name in fields
        }
        self._moved = {find_plain_key(text) for text in fields.values()}

    def start_list(self) -> Finds:
        """Return an empty record of the results of a mapping in a list."""
        return Finds(list(self._needed))

    @property
    def maps_rows_alone(self) -> bool:
        """Return whether a row in the list is the same as the row alone.

        An expression for `jobs` may leave rows out, or take them from inside other rows.
        """
        return not self._in_memory

    def find_rows(self, document: Document) -> Iterator[Any]:
        """Yield the rows of a page as the service has them. Raises Malformed, maybe at the end."""
        if not self._in_memory:
            yield from document.read_rows(self._places)
            return
        found = _evaluate_on(compile_expression(self._jobs), "jobs", document.read_whole())
        if not isinstance(found, list):
            raise Malformed(f"has no array at the place of `jobs` in {_SETTING}")
        yield from map(refuse_deep, found)

    def find_beside(self, envelope: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what stands beside the jobs, in each of the objects around them.

        `data.list` is beside `data.total`. Inner fields take precedence.
        """
        beside, found = dict(envelope), envelope
        for key in self._around:
            found = found.get(key) or {}
            if not isinstance(found, Mapping):
                break
            beside |= found
        return beside

    def find_next(self, envelope: Mapping[str, Any]) -> Any:
        """Return the reference to the next page, once the rows are read. Raises Malformed."""
        if self._next == "next":
            return self.find_beside(envelope).get("next")
        return _evaluate_on(compile_expression(self._next), "next", envelope)

    def is_end(self, named: Any) -> bool:
        """Return whether `next` is mapped, and says that there is no next page.

        `has_more && …` is false on the last page.
        """
        return self._next != "next" and named is False

    def states_the_end(self, envelope: Mapping[str, Any]) -> bool:
        """Return whether a page without a next one states that it is the last: by `next`, or by its
        mapping."""
        return self._next != "next" or "next" in envelope

    def map_row(self, row: Any, finds: Finds | None = None) -> Any:
        """Return a row under the contract's names, and add the results to `finds`.

        A field that is mapped by a plain key does not also stay under its old name. A result of
        null leaves the field out. If that silently enables a job, or a comparison of a field that
        is missing does, the row names the switch under MAPPED_TO_NULL, and the job gets a warning.
        If an expression fails, such as a function on a wrong type, the row becomes an Unreadable
        with its id and the reason. A field that is only shown is then left out, with the reason
        under LEFT_OUT.
        """
        if not self._fields or not isinstance(row, dict):
            return row
        finds = finds or Finds()
        mapped: dict[str, Any] = {}
        notes: dict[str, Any] = {}
        for name, find in self._fields.items():
            try:
                mapped[name] = _evaluate_on(find, name, row)
            except Malformed as error:
                if name not in DISPLAYED:
                    finds.note_failed(str(error))
                    return Unreadable({"id": mapped.get("id")}, f"the row {error}")
                mapped[name] = None
                notes[LEFT_OUT] = [f"`{name}`: the row {error}"]
        rest = {
            name: each
            for name, each in row.items()
            if name not in self._moved and name not in mapped
        }
        known = {name: each for name, each in mapped.items() if each is not None}
        if silent := [name for name in self._compared if self._is_lost(name, mapped, row)]:
            notes[MAPPED_TO_NULL] = silent
        found = rest | known | notes
        finds.note_mapped(row, found)
        return Unreadable(found, row.reason) if isinstance(row, Unreadable) else found

    def _is_lost(self, switch: str, mapped: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
        """Return whether a switch is null, or is true only because it compares a missing field."""
        compared = self._compared[switch]
        return mapped[switch] is None or (mapped[switch] is True and not compared <= row.keys())


def _evaluate_on(find: Callable[[Any], Any], name: str, value: Any) -> Any:
    try:
        return find(value)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        reason = printable(str(error))  # Usually a JMESPathError, which is a ValueError.
        raise Malformed(f"does not fit `{name}` of {_SETTING}: {reason}") from None
