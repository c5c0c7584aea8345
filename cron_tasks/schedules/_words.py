"""What the messages and descriptions of schedules share: faults, suggestions, lists in English."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class Fault(ValueError):
    """One part of a schedule is wrong; `messages` says how, one sentence a fault."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__("; ".join(messages))


class Faults(list[tuple[str, str]]):
    """(field, message) pairs. `with faults.at(field):` adds what is raised inside and goes on."""

    _field = ""

    def at(self, field: str) -> "Faults":
        self._field = field
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Fault):
            return False
        self.extend((self._field, message) for message in error.messages)
        return True

    def messages(self) -> list[str]:
        return [message for _, message in self]


def quoted(value: object) -> str:
    """What somebody wrote, safe to print and never long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists without end
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else text[:56] + "..." + text[-1]


def suggestion(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'FRI'?"` or nothing."""
    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(word[:60].casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean '{by_folded[close[0]]}'?" if close else ""


def listed(items: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def ordinal(number: int) -> str:
    """`1st`, `22nd`, `13th`; counted from the end: `last`, `2nd to last`."""
    if number < 0:
        return "last" if number == -1 else f"{ordinal(-number)} to last"
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"
