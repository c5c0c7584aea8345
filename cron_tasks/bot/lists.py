"""Reading a list that producers RPUSH to: what a reader has is in a list of its own meanwhile."""

import time
from typing import Any, cast

from redis import Redis

from cron_tasks import names
from cron_tasks.bot.reader import LEASE, REMEMBERED, Delivery, Reader
from cron_tasks.scripts import script


class ListReader(Reader):
    """Takes from the left. Bots that only BLPOP may read the same list."""

    kind = "list"

    def __init__(self, redis: Redis, queue: str, name: str, lease: float = LEASE) -> None:
        super().__init__(redis, queue, name, queue, lease)
        self._readers = queue + names.BOT_READERS

    def enter(self) -> bool:
        if not super().enter():
            return False
        self._sign()
        self._put_back(self.name)
        return True

    def renew(self) -> None:
        super().renew()
        self._sign()

    def ack(self, delivery: Delivery) -> None:
        # As bytes, since redis-py refuses to send a text with undecodable bytes in it.
        raw: Any = delivery.key.encode("utf-8", "surrogateescape")
        self.redis.lrem(self._processing(self.name), 1, raw)

    def leave(self) -> None:
        self._put_back(self.name)
        self.redis.zrem(self._readers, self.name)
        super().leave()

    def _read(self, timeout: float) -> list[Delivery]:
        mine = self._processing(self.name)
        taken = self.redis.blmove(self.queue, mine, cast("int", timeout), "LEFT", "RIGHT")
        return [Delivery(str(taken), str(taken))] if taken is not None else []

    def _take_over(self) -> list[Delivery]:
        """What the dead had goes back into the queue. A name is kept for a day, since a reader
        that was frozen may read one message more when it wakes, before it notices."""
        for name in cast("list[str]", self.redis.zrange(self._readers, 0, -1)):
            if name != self.name:
                self._put_back(name)
        self.redis.zremrangebyscore(self._readers, "-inf", time.time() - REMEMBERED)
        return []

    def _put_back(self, name: str) -> None:
        keys = [self._alive(name), self._processing(name), self.queue]
        _put_back(self.redis, keys, [self._lease.local.token])

    def _sign(self) -> None:
        self.redis.zadd(self._readers, {self.name: time.time()})

    def _processing(self, name: str) -> str:
        return self.queue + names.BOT_PROCESSING + name


@script()
def _put_back() -> None:
    """
    -- KEYS: sign of life of a reader, what it has, the queue. ARGV: our own sign of life.
    local owner = redis.call('GET', KEYS[1])
    if not owner or owner == ARGV[1] then
        while redis.call('LMOVE', KEYS[2], KEYS[3], 'RIGHT', 'LEFT') do end
    end
    """
