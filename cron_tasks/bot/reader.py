"""Read a notification queue, a list or a stream, without losing a message.

A message stays in Redis until it is acknowledged, under the name of the reader that has it. The
name is a lease. While it is held, no other reader takes these messages. Once it has expired, any
reader may. A reader whose own lease has expired has to discard its messages and `enter` again.
"""

import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import LockError, ResponseError

from cron_tasks.errors import CronTasksError
from cron_tasks.store import keys
from cron_tasks.store.leases import take_or_extend
from cron_tasks.store.scripts import script
from cron_tasks.tracing.tracer import Tracer

#: Seconds after a reader's last sign of life until other readers take its messages.
LEASE = 15.0
#: Seconds after which the name of a reader without messages is forgotten. It is not forgotten
#: earlier, because a frozen reader that wakes up may read one more message until it notices.
REMEMBERED = 86_400

_put_back = script("bot/put_back")
_trim = script("bot/trim")
_claim = script("bot/claim")


class Delivery(NamedTuple):
    """A message as it was in the queue, and the key for acknowledging it."""

    key: str
    data: str


class Reader(ABC):
    """The base of the readers of both transports.

    `redis` must not retry a call itself, because a second read would abandon the messages of the
    first one. `connect(url, retries=0)` makes such a client. Within `scope`, a name is unique and a
    message is handled once.
    """

    kind: str
    #: Seconds for which the ID of a handled message is remembered.
    remember: float = 86_400.0
    #: Records a span of each try to handle a message, unless it is None.
    tracer: Tracer | None = None

    def __init__(self, redis: Redis, queue: str, name: str, scope: str, lease: float) -> None:
        self.redis, self.queue, self.name, self.scope, self.lease = redis, queue, name, scope, lease
        self._alive = scope + keys.BOT_ALIVE
        self._lease = redis.lock(self._alive + name, timeout=lease, thread_local=False)
        self._renewed = self._look_after = 0.0

    def enter(self) -> bool:
        """Take the name. Return False if another reader has it.

        A reader that was killed keeps its name until its lease expires. Raises CronTasksError if
        the queue is of another kind.
        """
        if (kind := str(self.redis.type(self.queue))) not in (self.kind, "none"):
            raise CronTasksError(
                f"{self.queue} is a {kind} in Redis, not a {self.kind}: "
                "check CRON_TASKS_NOTIFY_QUEUE and CRON_TASKS_NOTIFY_TRANSPORT"
            )
        now = time.monotonic()
        if not take_or_extend(self._lease):
            return False
        self._renewed, self._look_after = now, 0.0
        return True

    def renew(self) -> None:
        """Keep the name, and the messages under it. Raises LockError if the name is lost."""
        now = time.monotonic()
        self._lease.reacquire()
        self._renewed = now

    @property
    def is_overdue(self) -> bool:
        """Return whether other readers may have our messages by now, or soon."""
        return time.monotonic() - self._renewed > 0.8 * self.lease

    def receive(self, timeout: float) -> list[Delivery]:
        """Return the next messages, or those of a dead reader.

        Waits for up to `timeout` seconds, which has to be above 0.
        """
        if (now := time.monotonic()) >= self._look_after:
            is_first, self._look_after = not self._look_after, now + self.lease / 3
            if taken := self._take_over(is_first):
                return taken
        return self._read_next(timeout)

    @abstractmethod
    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a message, so that it is not delivered again. May be repeated."""

    def leave(self) -> None:
        """Release the name and all messages that are not acknowledged."""
        with suppress(LockError):
            self._lease.release()

    @abstractmethod
    def _take_over(self, ours_too: bool) -> list[Delivery]:
        """Take over the messages of dead readers, and our own from before the last `enter`.

        Return them, or put them back into the queue.
        """

    @abstractmethod
    def _read_next(self, timeout: float) -> list[Delivery]: ...


class ListReader(Reader):
    """Moves messages from the left of a list into a separate list of the reader.

    Bots that only use BLPOP may read the same list.
    """

    kind = "list"

    def __init__(self, redis: Redis, queue: str, name: str, lease: float = LEASE) -> None:
        super().__init__(redis, queue, name, queue, lease)
        self._processing = queue + keys.BOT_PROCESSING

    def ack(self, delivery: Delivery) -> None:
        # As bytes, because redis-py refuses to send a text with undecodable bytes in it.
        raw: Any = delivery.key.encode("utf-8", "surrogateescape")
        self.redis.lrem(self._processing + self.name, 1, raw)

    def leave(self) -> None:
        self._take_over(ours_too=True)
        self.redis.zrem(self.queue + keys.BOT_READERS, self.name)
        super().leave()

    def _read_next(self, timeout: float) -> list[Delivery]:
        wait: Any = timeout
        taken = self.redis.blmove(self.queue, self._processing + self.name, wait, "LEFT", "RIGHT")
        return [Delivery(str(taken), str(taken))] if taken is not None else []

    def _take_over(self, ours_too: bool) -> list[Delivery]:
        _put_back(
            self.redis,
            queue=self.queue,
            readers=self.queue + keys.BOT_READERS,
            reader=self.name,
            own_token=self._lease.local.token if ours_too else "",
            alive_prefix=self._alive,
            processing_prefix=self._processing,
            now=time.time(),
            forget_after=REMEMBERED,
        )
        return []


class StreamReader(Reader):
    """One consumer of `group`. A new group begins with the first entry of the stream.

    The message is the field `data` of an entry. Other groups may read the same stream, so an entry
    is not deleted when it is acknowledged. Entries that every group has acknowledged are trimmed.
    """

    kind = "stream"

    def __init__(
        self, redis: Redis, queue: str, name: str, lease: float = LEASE, group: str = "bot"
    ) -> None:
        super().__init__(redis, queue, name, f"{queue}:{group}", lease)
        self.group = group

    def enter(self) -> bool:
        if not super().enter():
            return False
        try:
            self.redis.xgroup_create(self.queue, self.group, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        return True

    def ack(self, delivery: Delivery) -> None:
        self.redis.xack(self.queue, self.group, delivery.key)

    def leave(self) -> None:
        _trim(self.redis, queue=self.queue)
        super().leave()

    def _read_next(self, timeout: float) -> list[Delivery]:
        block = max(int(timeout * 1000), 1)
        new: Any = self.redis.xreadgroup(
            self.group, self.name, {self.queue: ">"}, count=1, block=block
        )
        return [_make_delivery(key, fields) for key, fields in (new[0][1] if new else [])]

    def _take_over(self, ours_too: bool) -> list[Delivery]:
        _trim(self.redis, queue=self.queue)
        taken = _claim(
            self.redis,
            queue=self.queue,
            group=self.group,
            reader=self.name,
            own_token=self._lease.local.token if ours_too else "",
            alive_prefix=self._alive,
            forget_after_ms=REMEMBERED * 1000,
        )
        return [_make_delivery(key, dict(zip(it[::2], it[1::2], strict=True))) for key, it in taken]


def _make_delivery(key: str, fields: dict[str, str]) -> Delivery:
    return Delivery(key, fields.get("data") or f"no field `data`: {fields}")
