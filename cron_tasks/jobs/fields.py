"""The kinds of fields that a job consists of, and the base of its nested objects. Pure.

The `description` of a field is quoted in its error message as the expected value. So it is made
here, together with the bounds of the field.
"""

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from cron_tasks.jobs.messages import names_in_json
from cron_tasks.text.stored_json import to_storable_fields

_VISIBLE = r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]+$"


def text_field(most: int, what: str = "text") -> Any:
    """Make the field of a text of 1 to `most` characters."""
    expected = f"{what} of 1 to {most} characters"
    return Field(strict=True, min_length=1, max_length=most, description=expected)


def word_field(most: int, what: str) -> Any:
    """Make the field of a text of 1 to `most` printable characters without spaces."""
    expected = f"{what} of 1 to {most} printable characters without spaces"
    return Field(strict=True, min_length=1, max_length=most, pattern=_VISIBLE, description=expected)


def integer_field(least: int, most: int) -> Any:
    """Make the field of a whole number from `least` to `most`."""
    expected = f"a whole number from {least} to {most}"
    return Field(strict=True, ge=least, le=most, description=expected)


def seconds_field(most: int, *, above: int | None = None) -> Any:
    """Make the field of a number of seconds from 0, or greater than `above`, to `most`."""
    least = f"from 0 to {most}" if above is None else f"above {above}, at most {most}"
    expected = f"a number of seconds {least}"
    zero = 0 if above is None else None
    return Field(strict=True, ge=zero, gt=above, le=most, description=expected)


def limit_items(most: int) -> BeforeValidator:
    """Make a validator that refuses more than `most` items before it looks at any of them.

    pydantic reports every wrong item. A million of them would take gigabytes.
    """

    def check_count(value: Any) -> Any:
        if isinstance(value, list | tuple | dict) and len(value) > most:
            raise ValueError(f"expected at most {most} items, got {len(value):,}")
        return value

    return BeforeValidator(check_count)


Text100 = Annotated[str, text_field(100)]


class JobPart(BaseModel):
    """The base of a nested object of a job, such as `retry` or `action`.

    A part is frozen. A field that is null counts as not given. So does an empty text or an empty
    array in an optional field that does not accept it: forms send `""` for null, and PHP writes an
    empty object as `[]`. Unknown fields are kept in `model_extra`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="wrap")
    @classmethod
    def _drop_nulls(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, dict):
            return handler(value)
        known = names_in_json(cls)
        unknown = {name: each for name, each in value.items() if name not in known}
        # JSON has no infinity: a field with it is stored as null, and then counts as not given.
        fields = to_storable_fields(unknown) | {n: value[n] for n in value if n in known}
        fields = {name: each for name, each in fields.items() if each is not None}
        try:
            return handler(fields)
        except ValidationError as error:
            empty = _find_refused_empties(error, cls)
            if not empty:
                raise
        return handler({name: each for name, each in fields.items() if name not in empty})


def _find_refused_empties(error: ValidationError, model: type[BaseModel]) -> set[int | str]:
    """Return the optional fields with an empty text or array that they do not accept."""
    required = {
        field.alias or name for name, field in model.model_fields.items() if field.is_required()
    }
    refused = {
        detail["loc"][0]
        for detail in error.errors(include_url=False)
        if len(detail["loc"]) == 1 and detail["input"] in ("", [])
    }
    return refused - required
