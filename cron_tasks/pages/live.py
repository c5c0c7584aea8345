"""Notify open tabs about changes. One reader in each Flower reads for all tabs."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
import structlog
from redis.exceptions import RedisError
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from cron_tasks.flower.inside import FlowerHandler
from cron_tasks.ledger.batch import read_line
from cron_tasks.ledger.run_id import RunId
from cron_tasks.pages.context import Context, get_context
from cron_tasks.store import keys

log = structlog.get_logger("cron_tasks.pages")

#: Seconds between two reads, and seconds after which a tab gets a message even without changes.
LOOK_EVERY, TELL_EVERY = 1.0, 10.0
#: The most records and changes of one read. If there are more, all rows count as changed.
READ = 200
#: The most open tabs. Each holds a connection.
MOST_TABS = 500
#: The most failed runs that Flower's own list of tasks can mark.
FAILED_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a read: the newest lines, and numbers that show whether anything has changed.

    `edited` is the number of the last edit, and the last manual action. `minutes` are the minutes
    in progress of quick jobs, by job. With more than READ such jobs, only past minutes are read.
    """

    state: tuple[Any, ...]
    edited: tuple[Any, ...]
    newest: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    minutes: Mapping[str, str]

    def changed_since(self, before: "Look") -> list[str] | None:
        """Return the ids of the changed jobs, or None if any job may have changed."""
        ids = {job_id for job_id in self.minutes if self._has_new_run(job_id, before)}
        if self.edited != before.edited and self.changes[:1] == before.changes[:1]:
            return None
        for lines, seen in ((self.newest, before.newest), (self.changes, before.changes)):
            if lines[:1] == seen[:1]:
                continue
            if not seen or seen[0] not in lines:
                return None
            new = lines[: lines.index(seen[0])]
            ids.update(each[1] if isinstance(each, tuple) else _job_of(each) for each in new)
        return sorted(ids)

    def _has_new_run(self, job_id: str, before: "Look") -> bool:
        return self.minutes[job_id] != before.minutes.get(job_id)


def _job_of(line: str) -> str:
    """Return the id of a record's job, or "" if it cannot be read. All tabs share this look."""
    try:
        return RunId.stored(orjson.loads(read_line(line))["run_id"]).job_id
    except (ValueError, LookupError, TypeError):
        return ""


def look(context: Context) -> Look:
    """Read the state that pages show, in at most two round trips."""
    with context.redis.pipeline(transaction=False) as pipe:
        pipe.lrange(keys.RECENT, 0, READ - 1)
        pipe.xrevrange(keys.CHANGES, count=READ)
        pipe.get(keys.EDITS)
        pipe.exists(keys.LEADER_LOCK)
        pipe.hlen(keys.OPEN)
        pipe.hlen(keys.FAILING)
        pipe.xrevrange(keys.ACTIONS, count=1)
        pipe.hlen(keys.MINUTE)
        recent, changes, edits, *state, action, quick = pipe.execute()
    minutes = context.redis.hgetall(keys.MINUTE) if 0 < quick <= READ else {}
    newest_change = tuple((stamp, fields.get("id", "")) for stamp, fields in changes)
    return Look(
        state=tuple(state),
        edited=(edits, action[0][0] if action else ""),
        newest=tuple(recent),
        changes=newest_change,
        minutes=cast("dict[str, str]", minutes),
    )


class Pulse:
    """Reads while any tab listens, and notifies all tabs about changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tabs: set[asyncio.Queue[bytes]] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> asyncio.Queue[bytes]:
        """Return a queue with the messages for a new tab."""
        if len(self._tabs) >= MOST_TABS:
            raise HTTPError(503, "too many open tabs")
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=10)
        self._tabs.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        return queue

    def leave(self, queue: asyncio.Queue[bytes]) -> None:
        self._tabs.discard(queue)

    async def _run(self) -> None:
        loop, before, told = asyncio.get_running_loop(), None, 0.0
        while self._tabs:
            try:
                found = await loop.run_in_executor(self._context.threads, look, self._context)
            except RedisError:
                found = None
            if found != before or time.monotonic() - told >= TELL_EVERY:
                ids = found.changed_since(before) if found and before else None
                self._tell({"ids": ids if found != before else []})
                told = time.monotonic()
            before = found
            await asyncio.sleep(LOOK_EVERY)

    def _tell(self, message: dict[str, Any]) -> None:
        text = b"data: " + orjson.dumps(message) + b"\n\n"
        for queue in self._tabs:
            if not queue.full():  # A tab that does not read gets the next message.
                queue.put_nowait(text)


_pulses: list[Pulse] = []


def get_pulse() -> Pulse:
    """Return the pulse of this process. Call it in the event loop."""
    if not _pulses:
        _pulses.append(Pulse(get_context()))
    return _pulses[0]


class Live(FlowerHandler):
    """The stream of messages to one tab (EventSource)."""

    @authenticated
    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        pulse = get_pulse()
        self.queue = pulse.join()
        try:
            self.write("retry: 5000\n\n")
            await self.flush()
            while text := await self.queue.get():
                self.write(text)
                await self.flush()
        except StreamClosedError:
            pass
        finally:
            pulse.leave(self.queue)

    def on_connection_close(self) -> None:
        if queue := getattr(self, "queue", None):
            get_pulse().leave(queue)
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(b"")
        super().on_connection_close()


def read_failed_runs(context: Context) -> None:
    """Update the failed runs for Flower's own list of tasks."""
    found = context.redis.zrevrange(keys.FAILED, 0, FAILED_KNOWN - 1)
    context.failed_runs = frozenset(cast("list[str]", found))


def keep_failed_runs(context: Context) -> None:
    """Keep `context.failed_runs` up to date, for as long as this process lives."""
    while True:
        try:
            read_failed_runs(context)
        except RedisError as error:
            log.warning("pages.redis_away", error=str(error))
        time.sleep(5)
