"""Describe the faults that pydantic finds in a row, for the person who edits it. Pure.

pydantic names the rule that was broken ("Input should be less than or equal to 100"). A person
needs to know what was expected and what was found. The first is the `description` of the field.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cron_tasks.jobs.confidential import mask_value
from cron_tasks.text.display import printable, short_repr
from cron_tasks.text.suggestions import find_nearest, suggest_nearest


@lru_cache
def names_in_json(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each field of `model`, by the field's name in JSON."""
    return {
        field.alias or name: field.description or "" for name, field in model.model_fields.items()
    }


def describe_fields(
    model: type[BaseModel], nested: Mapping[str, Iterable[type[BaseModel]]]
) -> dict[str, str]:
    """Return the expected value at each path: `timeout`, `retry.backoff`, `tags[]` (each tag)."""
    expected = _describe_model(model, "")
    for parent, children in nested.items():
        for child in children:
            expected |= _describe_model(child, f"{parent}.")
    return expected


def _describe_model(model: type[BaseModel], prefix: str) -> dict[str, str]:
    expected = {prefix + name: text for name, text in names_in_json(model).items()}
    for name, field in model.model_fields.items():
        for item in get_args(field.annotation):
            for note in get_args(item):
                if isinstance(note, FieldInfo) and note.description:
                    expected[f"{prefix}{field.alias or name}[]"] = note.description
    return expected


def explain_errors(error: ValidationError, expected: Mapping[str, str]) -> dict[str, str]:
    """Return one message for each path with a fault.

    pydantic reports a value of a union once for each member of the union. The first report counts.
    No message shows what may be a secret.
    """
    messages: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        kind, loc, got = detail["type"], detail["loc"], detail["input"]
        if kind.startswith("union_tag"):
            loc, got = (*loc, "type"), got.get("type")
            kind = "missing" if got is None else "literal_error"
        wanted, place = _find_field(loc, expected)
        context = {"message": detail["msg"], **detail.get("ctx", {})}
        shown = mask_value(place, got)
        messages.setdefault(place, _format_message(kind, wanted, shown, context))
    return messages


def _find_field(loc: tuple[int | str, ...], expected: Mapping[str, str]) -> tuple[str, str]:
    """Return the expected value at `loc`, and its path without pydantic's names of union
    members."""
    field = place = ""
    for step in loc:
        if isinstance(step, int):
            place += f"[{step}]"
            field = f"{field}[]" if f"{field}[]" in expected else field
        elif (path := f"{field}.{step}" if field else step) in expected:
            field = place = path
    return expected.get(field, "another value"), place


def _format_message(kind: str, expected: str, got: Any, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if not expected:  # A plug-in does not have to describe its fields.
        return f"{context['message']}, got {short_repr(got)}"
    if kind == "missing":
        return f"is missing; expected {expected}"
    return f"expected {expected}, got {short_repr(got)}{_suggest(kind, got, context)}"


def _suggest(kind: str, got: Any, context: Mapping[str, Any]) -> str:
    """Return a suggestion from some names, as the end of a sentence."""
    if kind != "literal_error" or not isinstance(got, str):
        return ""
    names = re.findall("'([^']+)'", context.get("expected_tags") or context["expected"])
    return suggest_nearest(got, names)


@lru_cache(maxsize=4096)
def describe_unknown_fields(unknown: tuple[str, ...], known: tuple[str, ...]) -> str:
    """Return the warning about fields of a row that are not in the contract."""
    named = []
    for name in unknown[:10]:
        near = find_nearest(name, known)
        named.append(f"`{name}` (did you mean `{near}`?)" if near else f"`{name}`")
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    return f"unknown and therefore ignored: {', '.join(named)}{more}"


def format_faults(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each (field, message)."""
    for field, message in found:
        place = f"`{printable(field, 80)}`: " if field else ""
        yield place + printable(message, 400)
