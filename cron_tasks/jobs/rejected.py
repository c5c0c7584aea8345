"""Rows that are not valid jobs. Pure."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not a valid job: all reasons, and its place in the list ("row 17")."""

    id: str | None
    place: str
    errors: tuple[str, ...]
    row: Any


class Unreadable(dict[str, Any]):
    """The readable part of a row, and the reason why the rest cannot be read. The row is
    rejected."""

    def __init__(self, row: dict[str, Any], reason: str) -> None:
        super().__init__(row)
        self.reason = reason
