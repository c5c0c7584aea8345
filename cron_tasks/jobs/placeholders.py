"""Placeholders in the texts of a job: `$name` or `${name}`, `$$` for a `$`. Pure.

The texts of a request may also name secrets, `${secret:NAME}`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from string import Template
from typing import Any

from cron_tasks.text.display import short_repr

#: What the name of a secret may be; with a path in it, it could leave its folder.
SECRET_NAME = r"[a-z0-9_][a-z0-9_.-]{0,99}"  # noqa: S105
_SECRET = "secret:"  # noqa: S105


class RequestTemplate(Template):
    """A text in which secrets may stand."""

    braceidpattern = rf"(?a:[_a-z][_a-z0-9]*|{_SECRET}{SECRET_NAME})"


def checked(text: str, fields: Sequence[str], kind: type[Template] = Template) -> str:
    """`text`, if its placeholders are among `fields`. Raises ValueError, which says what is not."""
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


def secrets_in(text: str) -> Iterator[str]:
    """The names of the secrets that a checked request text refers to."""
    for match in RequestTemplate.pattern.finditer(text) if "$" in text else ():
        if (match["braced"] or "").startswith(_SECRET):
            yield match["braced"].removeprefix(_SECRET)


def filled(text: str, value_of: Callable[[str], str], secret: Callable[[str], str]) -> str:
    """A checked request text with the values of its fields and secrets, asked for by name."""
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "$"
        name = match["named"] or match["braced"]
        if name.startswith(_SECRET):
            return secret(name.removeprefix(_SECRET))
        return value_of(name)

    return RequestTemplate.pattern.sub(value, text)


def texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value; names of an object's members are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each of its texts changed."""
    match value:
        case str():
            return change(value)
        case dict():
            return {name: mapped(each, change) for name, each in value.items()}
        case list():
            return [mapped(each, change) for each in value]
    return value
