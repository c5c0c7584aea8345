"""Reliable reading of a queue of notifications, be it a list or a stream.

A message stays in Redis until it is acknowledged, under the name of the reader that has it. The
name is a lease: while it is held nobody else takes these messages, and once it has run out anybody
may. A reader that finds its own lease run out has to forget what it was given, and `enter` again.
"""

import time
from contextlib import suppress
from typing import NamedTuple

from redis import Redis
from redis.exceptions import LockError

from cron_tasks import names
from cron_tasks.errors import CronTasksError

#: Seconds after the last sign of life of a reader until others take what it has.
LEASE = 15.0
#: Seconds after which the name of a reader that has nothing is forgotten.
REMEMBERED = 86_400


class Delivery(NamedTuple):
    """A message as it was queued, and what to acknowledge it by."""

    key: str
    data: str


class Reader:
    """What both transports share.

    `redis` must not repeat a call by itself, since a repeated read leaves what the first one took:
    `connect(url, retries=0)` makes such a client. `scope` is that within which a name is unique
    and a message is handled once.
    """

    kind: str

    def __init__(self, redis: Redis, queue: str, name: str, scope: str, lease: float) -> None:
        self.redis, self.queue, self.name, self.scope, self.lease = redis, queue, name, scope, lease
        self._lease = redis.lock(self._alive(name), timeout=lease, thread_local=False)
        self._renewed = self._look_after = 0.0

    def enter(self) -> bool:
        """Begin anew; False while another reader has the name, or had it when it was killed.

        Raises CronTasksError when the queue is of another kind.
        """
        if (kind := str(self.redis.type(self.queue))) not in (self.kind, "none"):
            raise CronTasksError(
                f"{self.queue} is a {kind} in Redis, not a {self.kind}: "
                "check CRON_TASKS_NOTIFY_QUEUE and CRON_TASKS_NOTIFY_TRANSPORT"
            )
        try:
            self.renew()
        except LockError:
            if not self._lease.acquire(blocking=False):
                return False
            self._renewed = time.monotonic()
        self._look_after = 0.0
        return True

    def renew(self) -> None:
        """Keep the name, and what was given out under it. Raises LockError when it is lost."""
        now = time.monotonic()
        self._lease.reacquire()
        self._renewed = now

    @property
    def lapsed(self) -> bool:
        """Whether others may have our messages by now, or soon."""
        return time.monotonic() - self._renewed > 0.8 * self.lease

    def receive(self, timeout: float) -> list[Delivery]:
        """The next messages, or those of a dead reader; waits up to `timeout` > 0 seconds."""
        if (now := time.monotonic()) >= self._look_after:
            self._look_after = now + self.lease / 3
            if taken := self._take_over():
                return taken
        return self._read(timeout)

    def ack(self, delivery: Delivery) -> None:
        """Done with: it is not delivered again. May be repeated."""
        raise NotImplementedError

    def leave(self) -> None:
        """Let others have the name, and what is not acknowledged, at once."""
        with suppress(LockError):
            self._lease.release()

    def _take_over(self) -> list[Delivery]:
        raise NotImplementedError

    def _read(self, timeout: float) -> list[Delivery]:
        raise NotImplementedError

    def _alive(self, name: str) -> str:
        return self.scope + names.BOT_ALIVE + name
