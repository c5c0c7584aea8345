"""Show settings to people: their variables, and their values without secrets."""

import json
from typing import Any, NamedTuple

from pydantic import ByteSize, SecretStr

PREFIX = "CRON_TASKS_"


class Row(NamedTuple):
    """A setting for display. Passwords and tokens are `***`."""

    variable: str
    value: str
    origin: str
    meaning: str


def variable_name(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def format_value(value: Any) -> str:
    """Return a value for display, or an empty text for none."""
    match value:
        case SecretStr():
            return "***"
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(value)
        case dict():
            plain = {name: format_value(each) for name, each in value.items()}
            return json.dumps(plain, ensure_ascii=False) if value else ""
        case ByteSize():
            return value.human_readable().replace(".0", "")
        case float():
            return f"{value:g}"
    return "" if value is None else str(value)
