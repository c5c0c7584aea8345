"""Which lists in Redis workers read and which bots read; no list may be both. Pure.

A worker drops a notification that it finds in its queue, and a bot takes a worker's message for a
broken notification. So the queues of all jobs and of the settings are compared by name, and with
the lists that a bot keeps beside its queue (docs/keys.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cron_tasks.store.names import (
    BOT_ALIVE,
    BOT_DEAD,
    BOT_PROCESSING,
    BOT_READERS,
    CELERY_CONTROL,
    CELERY_EVENTS,
)
from cron_tasks.text.display import short_repr


class Use(NamedTuple):
    """A queue and where it is named: `notify.queue` is for bots, any other field for workers."""

    name: str
    field: str
    place: str

    @property
    def for_bots(self) -> bool:
        return self.field == "notify.queue"


def uses(row: Any, place: str) -> list[Use]:
    """Return the queues that a listed row names, whatever else it holds; `place` is where it is."""
    found: list[Use] = []
    if not isinstance(row, dict) or not ("queue" in row or "notify" in row):
        return found
    notify = row.get("notify")
    named = {"queue": row.get("queue")}
    named["notify.queue"] = notify.get("queue") if isinstance(notify, dict) else None
    for field_, name in named.items():
        if name and isinstance(name, str):
            found.append(
                Use(name, field_, f"`{field_}` of job {short_repr(row.get('id'))} ({place})")
            )
    return found


@dataclass(slots=True)
class Queues:
    """The queues in use by name. `beside` has, by a queue's name, a list that a bot of that queue
    would keep beside it."""

    workers: dict[str, Use] = field(default_factory=dict)
    bots: dict[str, Use] = field(default_factory=dict)
    beside: dict[str, Use] = field(default_factory=dict)

    def add(self, found: Iterable[Use]) -> None:
        for use in found:
            (self.bots if use.for_bots else self.workers).setdefault(use.name, use)
            for queue in _beside(use.name):
                self.beside.setdefault(queue, use)

    def faults(self, found: list[Use]) -> tuple[str, ...]:
        """Return a sentence for each of these queues that collides with another or among them."""
        if not found:
            return ()
        own = Queues()
        own.add(found)
        texts = (side._fault(use) for use in found for side in (self, own))
        return tuple(dict.fromkeys(filter(None, texts)))

    def _fault(self, use: Use) -> str | None:
        if use.name.startswith(CELERY_EVENTS) or use.name.endswith(CELERY_CONTROL):
            shown = short_repr(use.name)
            return f"`{use.field}`: {shown} is a list of Celery's own: give another name"
        taken = (self.workers if use.for_bots else self.bots).get(use.name)
        if taken:
            return _sentence(use, f"is also {taken.place}; workers read the one, bots the other")
        for queue in _beside(use.name):
            if bot := self.bots.get(queue):
                return _sentence(use, f"is a list that bots keep beside {bot.place}")
        if use.for_bots and (taken := self.beside.get(use.name)):
            return _sentence(use, f"has beside it, for its bots, a list that is {taken.place}")
        return None


def _sentence(use: Use, what: str) -> str:
    return f"`{use.field}`: {short_repr(use.name)} {what}: give one of them another name"


def _beside(name: str) -> Iterator[str]:
    """The queues that the list `name` would be beside, if they were queues of notifications."""
    for mark in (BOT_DEAD, BOT_READERS):
        if name.endswith(mark):
            yield name.removesuffix(mark)
    if BOT_PROCESSING in name:
        yield name.partition(BOT_PROCESSING)[0]
    if BOT_ALIVE in name:
        queue = name.partition(BOT_ALIVE)[0]
        yield queue
        yield queue.rpartition(":")[0]  # of a stream, where a group is in between
