"""Define the functions of `CRON_TASKS_REST_MAPPING` in addition to those of JMESPath. Pure.

JMESPath cannot split a text or calculate. docs/mapping.md lists these functions.
"""

from typing import Any

from jmespath import functions
from jmespath.exceptions import JMESPathError

_NUMBERS: Any = ({"types": ["number"]}, {"types": ["number"]})
_ANY: Any = {"types": []}


class MappingFunctions(functions.Functions):
    """The functions of JMESPath, and those that mappings of real services need."""

    @functions.signature({"types": ["string"]}, {"types": ["string"]})
    def _func_split(self, text: str, separator: str) -> list[str]:
        """`split(tags, ' ')`: the parts of a text, without empty ones."""
        return [part for part in text.split(separator or None) if part]

    @functions.signature({"types": ["string"]}, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, text: str, old: str, new: str) -> str:
        """`replace(name, '_', ' ')`: a text with another in place of each `old`."""
        return text.replace(old, new)

    @functions.signature({"types": ["string"]})
    def _func_trim(self, text: str) -> str:
        """`trim(name)`: a text without white space around it."""
        return text.strip()

    @functions.signature({"types": ["string"]})
    def _func_lower(self, text: str) -> str:
        """`lower(state)`: a text in lower case."""
        return text.lower()

    @functions.signature(_ANY, _ANY)
    def _func_default(self, value: Any, fallback: Any) -> Any:
        """`default(name, slug)`: the first that is not null. Unlike `||`, it keeps 0, "" and []."""
        return fallback if value is None else value

    @functions.signature(*_NUMBERS)
    def _func_add(self, left: float, right: float) -> float:
        """`add(hour, `1`)`: a sum."""
        return left + right

    @functions.signature(*_NUMBERS)
    def _func_subtract(self, left: float, right: float) -> float:
        """`subtract(day, `1`)`: a difference."""
        return left - right

    @functions.signature(*_NUMBERS)
    def _func_multiply(self, left: float, right: float) -> float:
        """`multiply(minutes, `60`)`: a product."""
        return left * right

    @functions.signature(*_NUMBERS)
    def _func_divide(self, left: float, right: float) -> float:
        """`divide(milliseconds, `1000`)`: a quotient, a whole number where it is one.

        Raises JMESPathError for a divisor of 0.
        """
        if not right:
            raise JMESPathError("divide() by zero")
        quotient = left / right
        return int(quotient) if quotient.is_integer() else quotient
