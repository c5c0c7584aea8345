"""Find names that would be both a worker queue and a notification queue. Pure.

Workers read a worker queue, and bots read a notification queue. No list in Redis may be both: a
worker drops a notification that it finds in its queue, and a bot treats a worker's message as a
broken notification. So the queues of all jobs and of the settings are compared by name. They are
also compared with the lists that a bot keeps beside its queue (docs/keys.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cron_tasks.store.keys import (
    BOT_ALIVE,
    BOT_DEAD,
    BOT_PROCESSING,
    BOT_READERS,
    CELERY_CONTROL,
    CELERY_EVENTS,
)
from cron_tasks.text.display import short_repr


class QueueUse(NamedTuple):
    """A queue, with the field that names it and the place of that field.

    `notify.queue` names a notification queue. Every other field names a worker queue.
    """

    name: str
    field: str
    place: str

    @property
    def for_bots(self) -> bool:
        return self.field == "notify.queue"


def find_queue_uses(row: Any, place: str) -> list[QueueUse]:
    """Return the queues that a listed row names, whatever else it holds.

    `place` is where the row stands in the list, such as "row 17".
    """
    found: list[QueueUse] = []
    if not isinstance(row, dict) or not ("queue" in row or "notify" in row):
        return found
    notify = row.get("notify")
    named = {"queue": row.get("queue")}
    named["notify.queue"] = notify.get("queue") if isinstance(notify, dict) else None
    for field_, name in named.items():
        if name and isinstance(name, str):
            where = f"`{field_}` of job {short_repr(row.get('id'))} ({place})"
            found.append(QueueUse(name, field_, where))
    return found


@dataclass(slots=True)
class QueuesInUse:
    """The worker queues and the notification queues in use, by name.

    A bot keeps lists beside the queue that it reads. `beside` holds each queue in use that would be
    such a list, by the name of the queue that it would stand beside.
    """

    workers: dict[str, QueueUse] = field(default_factory=dict)
    bots: dict[str, QueueUse] = field(default_factory=dict)
    beside: dict[str, QueueUse] = field(default_factory=dict)

    def add(self, uses: Iterable[QueueUse]) -> None:
        """Add queues. Messages show the first use of a name."""
        for use in uses:
            (self.bots if use.for_bots else self.workers).setdefault(use.name, use)
            for queue in _queues_beside(use.name):
                self.beside.setdefault(queue, use)

    def hold(self, uses: Iterable[QueueUse]) -> bool:
        """Return whether each of these queues is already in use, by the same kind of reader."""
        return all(use.name in (self.bots if use.for_bots else self.workers) for use in uses)

    def find_collisions(self, uses: list[QueueUse]) -> tuple[str, ...]:
        """Return a sentence for each of `uses` that collides with one in use or among `uses`."""
        if not uses:
            return ()
        own = QueuesInUse()
        own.add(uses)
        texts = (side._find_collision(use) for use in uses for side in (self, own))
        return tuple(dict.fromkeys(filter(None, texts)))

    def _find_collision(self, use: QueueUse) -> str | None:
        if use.name.startswith(CELERY_EVENTS) or use.name.endswith(CELERY_CONTROL):
            shown = short_repr(use.name)
            return f"`{use.field}`: {shown} is a list of Celery itself: choose another name"
        taken = (self.workers if use.for_bots else self.bots).get(use.name)
        if taken:
            what = f"is also {taken.place}; workers read one, bots the other"
            return _format_collision(use, what)
        for queue in _queues_beside(use.name):
            if bot := self.bots.get(queue):
                return _format_collision(use, f"is a list that bots keep beside {bot.place}")
        if use.for_bots and (taken := self.beside.get(use.name)):
            what = f"needs a list beside it for its bots, and that list is {taken.place}"
            return _format_collision(use, what)
        return None


def _format_collision(use: QueueUse, what: str) -> str:
    return f"`{use.field}`: {short_repr(use.name)} {what}: choose another name for one of them"


def _queues_beside(name: str) -> Iterator[str]:
    """Yield the queues that the list `name` would stand beside if bots read them."""
    for mark in (BOT_DEAD, BOT_READERS):
        if name.endswith(mark):
            yield name.removesuffix(mark)
    if BOT_PROCESSING in name:
        yield name.partition(BOT_PROCESSING)[0]
    if BOT_ALIVE in name:
        queue = name.partition(BOT_ALIVE)[0]
        yield queue
        yield queue.rpartition(":")[0]  # A stream has its group in between.
