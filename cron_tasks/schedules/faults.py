"""Collect the faults of a schedule, field by field."""


class Fault(ValueError):
    """One part of a schedule is wrong. `messages` has one sentence for each fault."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__("; ".join(messages))


class Faults(list[tuple[str, str]]):
    """(field, message) pairs. `with faults.at(field):` collects a Fault raised inside."""

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
