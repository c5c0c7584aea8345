"""What the parts of a job are made of: kinds of fields, and the base of all parts.

The `description` of a field is what its error message says was expected, so it is made together
with the bounds.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cron_tasks.jobs.messages import wire_names
from cron_tasks.text.stored_json import to_storable_fields

WEEK = 7 * 86_400
YEAR = 366 * 86_400
_VISIBLE = r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]+$"


def text(most: int, what: str = "text") -> Any:
    expected = f"{what} of 1 to {most} characters"
    return Field(strict=True, min_length=1, max_length=most, description=expected)


def word(most: int, what: str) -> Any:
    expected = f"{what} of 1 to {most} printable characters without spaces"
    return Field(strict=True, min_length=1, max_length=most, pattern=_VISIBLE, description=expected)


def whole(least: int, most: int) -> Any:
    expected = f"a whole number from {least} to {most}"
    return Field(strict=True, ge=least, le=most, description=expected)


def seconds(most: int, *, above: int | None = None) -> Any:
    """A number of seconds from 0, or greater than `above`, to `most`."""
    least = f"from 0 to {most}" if above is None else f"above {above}, at most {most}"
    expected = f"a number of seconds {least}"
    zero = 0 if above is None else None
    return Field(strict=True, ge=zero, gt=above, le=most, description=expected)


def few(most: int) -> BeforeValidator:
    """Refuse a collection of more than `most` items before any of them is looked at.

    pydantic reports every wrong item; of a million of them, in gigabytes.
    """

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple | dict) and len(value) > most:
            raise ValueError(f"expected at most {most} items, got {len(value):,}")
        return value

    return BeforeValidator(check)


Text100 = Annotated[str, text(100)]


class Policy(BaseModel):
    """Base: frozen, null means "not given", unknown fields are kept in `model_extra`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {name: each for name, each in value.items() if each is not None}
        known = wire_names(cls)
        unknown = {name: given.pop(name) for name in list(given) if name not in known}
        return to_storable_fields(unknown) | given
