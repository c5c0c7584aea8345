"""Reading a stream in a consumer group; the message is the field `data` of an entry.

Other groups may read the same stream, so an entry is not deleted when it is acknowledged: what
every group has acknowledged is trimmed every few seconds.
"""

from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from cron_tasks.bot.reader import LEASE, REMEMBERED, Delivery, Reader
from cron_tasks.scripts import script

#: Most messages of dead readers that are taken at once.
PAGE = 100


class StreamReader(Reader):
    """One consumer of `group`, which is made if need be, and then begins with the first entry."""

    kind = "stream"

    def __init__(
        self, redis: Redis, queue: str, name: str, lease: float = LEASE, group: str = "bot"
    ) -> None:
        super().__init__(redis, queue, name, f"{queue}:{group}", lease)
        self.group = group
        self._ours: set[str] = set()
        self._cursor = "0-0"

    def enter(self) -> bool:
        self._ours.clear()
        if not super().enter():
            return False
        try:
            self.redis.xgroup_create(self.queue, self.group, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        return True

    def renew(self) -> None:
        super().renew()
        self._claim(idle=0)

    def ack(self, delivery: Delivery) -> None:
        self.redis.xack(self.queue, self.group, delivery.key)
        self._ours.discard(delivery.key)

    def leave(self) -> None:
        self._claim(idle=int(self.lease * 1000))
        _tidy(self.redis, [self.queue], [self.group, REMEMBERED * 1000])
        super().leave()

    def _read(self, timeout: float) -> list[Delivery]:
        block = max(int(timeout * 1000), 1)
        new: Any = self.redis.xreadgroup(
            self.group, self.name, {self.queue: ">"}, count=1, block=block
        )
        return self._given(new[0][1] if new else [])

    def _take_over(self) -> list[Delivery]:
        _tidy(self.redis, [self.queue], [self.group, REMEMBERED * 1000])
        idle = int(self.lease * 1000)
        answer: Any = self.redis.xautoclaim(
            self.queue, self.group, self.name, idle, self._cursor, count=PAGE
        )
        self._cursor, entries, _ = answer
        return self._given(entries)

    def _given(self, entries: list[tuple[str, dict[str, str]]]) -> list[Delivery]:
        self._ours.update(key for key, _ in entries)
        return [
            Delivery(key, fields.get("data") or f"no field `data`: {fields}")
            for key, fields in entries
        ]

    def _claim(self, idle: int) -> None:
        """Claim what we have once more, as if it had been delivered `idle` milliseconds ago."""
        ours: Any = list(self._ours)
        if ours:
            self.redis.xclaim(self.queue, self.group, self.name, 0, ours, idle=idle, justid=True)


@script()
def _tidy() -> None:
    """
    -- KEYS: the stream. ARGV: our group, milliseconds after which an idle consumer is forgotten.
    local function fields(reply)
        local found = {}
        for i = 1, #reply, 2 do found[reply[i]] = reply[i + 1] end
        return found
    end
    local keep
    for _, reply in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
        local group = fields(reply)
        local waiting = redis.call('XPENDING', KEYS[1], group.name)[2]
        local ms, number = string.match(waiting or group['last-delivered-id'], '(%d+)-(%d+)')
        ms, number = tonumber(ms), tonumber(number) + (waiting and 0 or 1)
        if not keep or ms < keep[1] or ms == keep[1] and number < keep[2] then
            keep = {ms, number}
        end
    end
    redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', keep[1], keep[2]))
    for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
        local consumer = fields(reply)
        if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
        end
    end
    """
