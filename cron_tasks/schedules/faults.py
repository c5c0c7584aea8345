"""What the messages of schedules share: faults by field, lists in English."""

from collections.abc import Sequence


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


def listed(items: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
