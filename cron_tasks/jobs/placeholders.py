"""Placeholders in the texts of a job: `$name` or `${name}`, and `$$` for a `$`. Pure.

The texts of a request may also name secrets: `${secret:NAME}`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from string import Template
from typing import Any

from cron_tasks.text.display import short_repr

#: The form of a secret's name. A name with a path in it could leave the folder of the secrets.
SECRET_NAME = r"[a-z0-9_][a-z0-9_.-]{0,99}"  # noqa: S105
_SECRET = "secret:"  # noqa: S105


class RequestTemplate(Template):
    """A template that may contain secrets."""

    braceidpattern = rf"(?a:[_a-z][_a-z0-9]*|{_SECRET}{SECRET_NAME})"


def check_placeholders(text: str, fields: Sequence[str], kind: type[Template] = Template) -> str:
    """Return `text` if its placeholders are among `fields`.

    Raises ValueError, which names the first placeholder that is not.
    """
    for match in kind.pattern.finditer(text):
        name = match["named"] or match["braced"] or ""
        at = match.start() + 1
        if match["invalid"] is not None and text.startswith("${" + _SECRET, match.start()):
            raise ValueError(
                f"the secret at character {at} has no usable name; it is written "
                "${secret:NAME}, with letters, digits, `_`, `.` and `-`"
            )
        if match["invalid"] is not None:
            raise ValueError(f"the `$` at character {at} names no field; write `$$` for a `$`")
        if name and name not in fields and not name.startswith(_SECRET):
            known = ", ".join(fields)
            raise ValueError(f"unknown placeholder {short_repr('$' + name)}; known: {known}")
    return text


def find_secrets(text: str) -> Iterator[str]:
    """Yield the names of the secrets that a checked request text refers to."""
    for match in RequestTemplate.pattern.finditer(text) if "$" in text else ():
        if (match["braced"] or "").startswith(_SECRET):
            yield match["braced"].removeprefix(_SECRET)


def fill_placeholders(
    text: str, read_field: Callable[[str], str], read_secret: Callable[[str], str]
) -> str:
    """Return a checked request text with the values of its fields and secrets.

    `read_field` and `read_secret` return the value of a name.
    """
    if "$" not in text:
        return text

    def fill_match(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "$"
        name = match["named"] or match["braced"]
        if name.startswith(_SECRET):
            return read_secret(name.removeprefix(_SECRET))
        return read_field(name)

    return RequestTemplate.pattern.sub(fill_match, text)


def walk_texts(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value. The names of an object's members are not among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from walk_texts(each)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with each of its texts changed."""
    match value:
        case str():
            return change(value)
        case dict():
            return {name: map_texts(each, change) for name, each in value.items()}
        case list():
            return [map_texts(each, change) for each in value]
    return value
