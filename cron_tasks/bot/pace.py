"""Limit the rate at which messages are sent. Pure: the time is an argument, in seconds of any
clock."""

from math import inf


class Pace:
    """At most `overall` messages a second in all, and `each` messages a second to one chat."""

    def __init__(self, overall: float = inf, each: float = inf) -> None:
        self._gap, self._chat_gap = 1 / overall, 1 / each
        self._next = 0.0
        self._chats: dict[str, float] = {}

    def ready_at(self, chat: str) -> float:
        """Return when the next message for `chat` may be sent. It may be in the past."""
        return max(self._next, self._chats.get(chat, 0.0))

    def note_sent(self, chat: str, now: float) -> None:
        """Note that a message for `chat` was sent."""
        self._next = max(self._next, now + self._gap)
        # A chat that may be sent to again is forgotten, so only about a second of chats is kept.
        self._chats = {other: at for other, at in self._chats.items() if at > now}
        self._chats[chat] = now + self._chat_gap

    def pause(self, until: float) -> None:
        """Send nothing before `until`."""
        self._next = max(self._next, until)
