"""The loop of a bot: receive a message, handle it, remember it as handled, acknowledge it.

One message is handled at a time. A message may be delayed, because its chat had one a moment ago or
because its last try failed. Meanwhile later messages are received and handled before it. The
messages of one chat stay in their order.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from cron_tasks.bot.deliveries import trace_delivery
from cron_tasks.bot.pace import Pace
from cron_tasks.bot.reader import Delivery, Reader
from cron_tasks.store import keys
from cron_tasks.store.leases import keep_calling
from cron_tasks.text.display import printable

log = structlog.get_logger("cron_tasks.bot")

#: The most messages that are received and delayed. No more are received then.
MOST_HELD = 1_000
#: The number of tries if the cause of a failure is unknown, and the longest pause between tries.
MOST_TRIES, LONGEST_WAIT = 10, 60.0
#: The most dead letters, and the seconds for which they are kept after the last one.
DEAD_KEPT, DEAD_FOR = 1_000, 7 * 86_400
#: The longest time, in seconds, until `stop` is noticed.
LOOK_EVERY = 0.2


class Permanent(Exception):
    """Raised by a handler if it can never handle this message."""


class TryAgain(Exception):
    """Raised by a handler if it cannot handle this message now.

    The next try is in `after` seconds, by default in more seconds after each try. `everyone` means
    that no other message can be handled before then either.
    """

    def __init__(self, reason: str, after: float | None = None, everyone: bool = False) -> None:
        super().__init__(reason)
        self.after, self.everyone = after, everyone


#: Takes a message, which is a JSON object. The message is handled unless this raises.
Handler = Callable[[dict[str, Any]], None]


@dataclass(slots=True, eq=False)
class _Held:
    delivery: Delivery
    body: dict[str, Any]
    chat: str
    seen_key: str | None
    tries: int = 0
    not_before: float = 0.0


class Bot:
    """Passes each message from `reader` to `handler`, at `pace`."""

    def __init__(self, reader: Reader, handler: Handler, pace: Pace | None = None) -> None:
        self._reader, self._handler, self._pace = reader, handler, pace or Pace()
        self._held: list[_Held] = []
        self._handled: _Held | None = None
        self._stopped = self._last_call = False
        self._logged_trouble: str | None = None

    def stop(self, when_empty: bool = False) -> None:
        """Make `run` return after the current message or, with `when_empty`, after the last one.

        This is safe in a signal handler.
        """
        self._last_call = True
        self._stopped = self._stopped or not when_empty

    def run(self) -> None:
        """Handle messages until `stop` is called.

        Waits while Redis is unavailable, and while another bot has the same name. Raises
        CronTasksError if the queue is not of the kind that the reader reads.
        """
        while not self._stopped:
            try:
                self._acknowledge_last()
                if self._reader.enter():
                    self._read_queue()
                    continue
                in_use = f"a bot named {self._reader.name} is running, or was killed just now"
                self._log_trouble("bot.name_taken", in_use)
            except RedisError as error:
                self._log_trouble("redis.away", str(error))
            self._stopped = self._stopped or self._last_call
            time.sleep(LOOK_EVERY)
        with suppress(RedisError):
            self._acknowledge_last()
        if self._handled:
            log.warning("bot.may_repeat", **_describe(self._handled.delivery))

    def _log_trouble(self, trouble: str, error: str = "") -> None:
        """Log trouble once, and its end once. Without trouble, messages can be received."""
        if trouble == self._logged_trouble:
            return
        self._logged_trouble = trouble
        if trouble:
            log.warning(trouble, error=error)
        else:
            log.info("bot.waiting", queue=self._reader.queue, name=self._reader.name)

    def _read_queue(self) -> None:
        self._held.clear()
        with keep_calling(self._reader.renew, self._reader.lease / 3):
            while not self._stopped and not self._reader.is_overdue:
                self._handle_or_receive(time.monotonic())
        if not self._reader.is_overdue:
            self._reader.leave()

    def _handle_or_receive(self, now: float) -> None:
        """Handle the first held message that is due, or receive others until one is.

        Only the oldest message of each chat is considered.
        """
        oldest: dict[str, _Held] = {}
        for each in self._held:
            oldest.setdefault(each.chat, each)
        held = min(oldest.values(), key=lambda it: max(self._ready_at(it), now), default=None)
        wait = self._ready_at(held) - now if held else inf
        if held and wait <= 0:
            self._handle_held(held)
            return
        wait = max(min(wait, LOOK_EVERY), 0.01)
        if len(self._held) >= MOST_HELD:
            time.sleep(wait)
            return
        taken = self._reader.receive(wait)
        self._log_trouble("")
        for delivery in taken:
            self._hold_message(delivery)
        if self._last_call and not taken and not self._held:
            self._stopped = True

    def _ready_at(self, held: _Held) -> float:
        return max(held.not_before, self._pace.ready_at(held.chat))

    def _hold_message(self, delivery: Delivery) -> None:
        try:
            body = orjson.loads(delivery.data)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._move_to_dead(delivery, "it is not a JSON object")
            return
        chat, seen_key = body.get("chat_id"), None
        if (id_ := body.get("id")) is not None:
            seen_key = f"{keys.BOT_SENT_PREFIX}{self._reader.scope}:{id_}"
        # Messages without a chat do not wait for one another.
        chat = f"chat {chat}" if chat is not None else delivery.key
        self._held.append(_Held(delivery, body, chat, seen_key))

    def _handle_held(self, held: _Held) -> None:
        if held.seen_key and self._reader.redis.exists(held.seen_key):
            self._finish_held(held)
            return
        held.tries += 1
        try:
            self._call_handler(held)
        except Permanent as error:
            self._drop_held(held, str(error))
        except TryAgain as error:
            self._put_off(held, error)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if held.tries < MOST_TRIES:
                self._put_off(held, TryAgain(reason))
            else:
                self._drop_held(held, f"{reason}, {held.tries} times")
        else:
            self._finish_held(held)
        finally:
            self._pace.note_sent(held.chat, time.monotonic())

    def _call_handler(self, held: _Held) -> None:
        if (tracer := self._reader.tracer) is None:
            self._handler(held.body)
            return
        with trace_delivery(tracer, self._reader.queue, held.body, held.tries):
            self._handler(held.body)

    def _put_off(self, held: _Held, error: TryAgain) -> None:
        wait = min(2.0 ** (held.tries - 1), LONGEST_WAIT) if error.after is None else error.after
        held.not_before = time.monotonic() + wait
        if error.everyone:
            self._pace.pause(held.not_before)
        reason = printable(str(error))
        log.warning("bot.put_off", **_describe(held.delivery), reason=reason, seconds=wait)

    def _drop_held(self, held: _Held, reason: str) -> None:
        self._held.remove(held)
        self._move_to_dead(held.delivery, reason)

    def _move_to_dead(self, delivery: Delivery, reason: str) -> None:
        """Move a message to the dead letters: {"at": seconds since the epoch, "reason", "message"}.

        "message" is the message as it was in the queue.
        """
        reason = printable(reason)
        log.error("bot.dead", **_describe(delivery), reason=reason)
        dead = self._reader.queue + keys.BOT_DEAD
        entry = {"at": time.time(), "reason": reason, "message": delivery.data}
        with self._reader.redis.pipeline() as pipe:
            pipe.rpush(dead, json.dumps(entry))
            pipe.ltrim(dead, -DEAD_KEPT, -1)
            pipe.expire(dead, DEAD_FOR)
            pipe.execute()
        self._reader.ack(delivery)

    def _finish_held(self, held: _Held) -> None:
        self._held.remove(held)
        self._handled = held
        self._acknowledge_last()

    def _acknowledge_last(self) -> None:
        """Remember the handled message, then acknowledge it. A bot that gets it again skips it."""
        if held := self._handled:
            if held.seen_key:
                self._reader.redis.set(held.seen_key, 1, px=int(self._reader.remember * 1000))
            self._reader.ack(held.delivery)
            self._handled = None


def _describe(delivery: Delivery) -> dict[str, str]:
    """Return the log values of a message: its beginning, and its run."""
    about = {"message": printable(delivery.data, 120)}
    with suppress(ValueError, RecursionError):
        message = json.loads(delivery.data)
        if isinstance(message, dict) and isinstance(message.get("run_id"), str):
            about["run_id"] = message["run_id"]
    return about
