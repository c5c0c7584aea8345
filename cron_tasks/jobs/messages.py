"""What pydantic finds wrong with a row, in words for the person who edits it.

pydantic says which rule was broken ("Input should be less than or equal to 100"); a person wants
to know what was expected and what was found. The first is the `description` of the field.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import find_nearest


@lru_cache
def wire_names(model: type[BaseModel]) -> dict[str, str]:
    """The fields of `model` by their name in JSON, each with its description."""
    return {
        field.alias or name: field.description or "" for name, field in model.model_fields.items()
    }


def expectations(
    model: type[BaseModel], nested: Mapping[str, Iterable[type[BaseModel]]]
) -> dict[str, str]:
    """What is expected at each path: `timeout`, `retry.backoff`, `tags[]` (each of the tags)."""
    expected = _described(model, "")
    for parent, children in nested.items():
        for child in children:
            expected |= _described(child, f"{parent}.")
    return expected


def _described(model: type[BaseModel], prefix: str) -> dict[str, str]:
    expected = {prefix + name: text for name, text in wire_names(model).items()}
    for name, field in model.model_fields.items():
        for item in get_args(field.annotation):
            for note in get_args(item):
                if isinstance(note, FieldInfo) and note.description:
                    expected[f"{prefix}{field.alias or name}[]"] = note.description
    return expected


def faults(error: ValidationError, expected: Mapping[str, str]) -> dict[str, str]:
    """A message by path, one a path: a union reports a value once for each of its members."""
    messages: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        kind, loc, got = detail["type"], detail["loc"], detail["input"]
        if kind.startswith("union_tag"):
            loc, got = (*loc, "type"), got.get("type")
            kind = "missing" if got is None else "literal_error"
        wanted, place = _where(loc, expected)
        context = {"said": detail["msg"], **detail.get("ctx", {})}
        messages.setdefault(place, _message(kind, wanted, got, context))
    return messages


def _where(loc: tuple[int | str, ...], expected: Mapping[str, str]) -> tuple[str, str]:
    """What is expected at `loc`, and its path; pydantic's names of union members are left out."""
    field = place = ""
    for step in loc:
        if isinstance(step, int):
            place += f"[{step}]"
            field = f"{field}[]" if f"{field}[]" in expected else field
        elif (path := f"{field}.{step}" if field else step) in expected:
            field = place = path
    return expected.get(field, "another value"), place


def _message(kind: str, expected: str, got: Any, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if not expected:  # a plug-in need not describe its fields
        return f"{context['said']}, got {short_repr(got)}"
    if kind == "missing":
        return f"is missing; expected {expected}"
    return f"expected {expected}, got {short_repr(got)}"


@lru_cache(maxsize=4096)
def unknown_fields(unknown: tuple[str, ...], known: tuple[str, ...]) -> str:
    """The warning about the fields that a row has but the contract has not."""
    named = []
    for name in unknown[:10]:
        near = find_nearest(name, known)
        named.append(f"`{name}` (did you mean `{near}`?)" if near else f"`{name}`")
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    return f"unknown and therefore ignored: {', '.join(named)}{more}"
