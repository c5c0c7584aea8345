"""Declare a setting: its default, its meaning, and a description of its valid values."""

from typing import Any

from pydantic import Field


def setting(default: Any, meaning: str, expected: str, **rules: Any) -> Any:
    """Return a field. `expected` describes its value in error messages."""
    given = {"default_factory" if callable(default) else "default": default}
    return Field(**given, description=meaning, json_schema_extra={"expected": expected}, **rules)


def seconds(default: float, meaning: str, least: float, most: float) -> Any:
    """Return a field for a number of seconds from `least` to `most`."""
    expected = f"a number of seconds from {least:g} to {most:g}"
    return setting(default, meaning, expected, ge=least, le=most)
