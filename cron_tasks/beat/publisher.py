"""From ticks in the ledger to Celery messages: one each, or in a storm many to a message."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from celery import Celery
from kombu import Producer

from cron_tasks.broker.depth import QUEUE_FULL, count_messages
from cron_tasks.ledger.tick import Due
from cron_tasks.store import names
from cron_tasks.store.paging import pages

log = structlog.get_logger("cron_tasks.beat")

#: Up to this many ticks at once go out one to a message, so that Flower shows every run.
FEW = 10
#: Most ticks in one message: a chunk of quick ones is worked off in some ten milliseconds, one of
#: others saves most of what Celery takes for each message.
QUICK, SLOW = 500, 10
#: Seconds in which a worker that is busy, or whose clock is off, still obeys.
REVOKE_WITHIN = 60.0


class Publisher:
    """Publishes through one kombu producer, in batches."""

    def __init__(self, app: Celery, producer: Producer, slots: Callable[[], int]) -> None:
        self.app = app
        self.producer = producer
        self.slots = slots
        self._full: dict[str | None, tuple[float, bool]] = {}

    def sync(self) -> None:
        """Ask for a sync of what is wanted (registry/wanted.py) now."""
        every = self.app.conf.beat_schedule[names.SYNC_TASK]["options"]["expires"]
        self._send(names.SYNC_TASK, [[]], {"expires": every})

    def ticks(self, due: Sequence[Due]) -> None:
        """Send a hint for each tick; those that nobody gets are sent again by the sweep.

        A queue that is full gets none.
        """
        # As many slots as there are ticks make a message of each.
        slots = self.slots() if len(due) > FEW else len(due)
        alike: dict[tuple[Any, ...], list[Due]] = {}
        for tick in due:
            alike.setdefault((tick.quick, *tick.options.items()), []).append(tick)
        with self.producer.batch():  # type: ignore[attr-defined]
            for ticks in alike.values():
                options = ticks[0].options
                if not self._is_full(options.get("queue")):
                    for chunk in pages(ticks, _share(ticks, slots)):
                        self._send_chunk(chunk, options)

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Tell the workers of every app on the broker that these tasks must not begin, or end."""
        self.app.control.revoke(
            list(task_ids),
            terminate=True,
            connection=self.producer.connection,
            timeout=REVOKE_WITHIN,
        )

    def waiting(self, queue: str | None) -> int:
        """Messages of ours that wait in a Celery queue (None: the default one)."""
        return count_messages(self.producer, queue or self.app.conf.task_default_queue)

    def _is_full(self, queue: str | None) -> bool:
        """Looked up once a second at most, since it costs a round trip."""
        looked_up, full = self._full.get(queue, (0.0, False))
        if time.monotonic() - looked_up > 1:
            was, full = full, self.waiting(queue) > QUEUE_FULL
            self._full[queue] = time.monotonic(), full
            if full and not was:
                why = f"it holds more than {QUEUE_FULL} messages, or is no Redis list"
                log.error("queue.full", queue=queue, why=why, hint="its ticks wait in the ledger")
        return full

    def _send_chunk(self, chunk: Sequence[Due], options: Mapping[str, Any]) -> None:
        tick = chunk[0]
        if len(chunk) == 1:
            self._send(names.RUN_TASK, [tick.job_id], {**options, "task_id": tick.run_id})
            return
        shown = f"({len(chunk)} ticks from {tick.run_id})"
        run_ids = [tick.run_id for tick in chunk]
        self._send(names.CHUNK_TASK, [run_ids, tick.quick], {**options, "argsrepr": shown})

    def _send(self, task: str, args: list[Any], options: Mapping[str, Any]) -> None:
        self.app.send_task(task, args, producer=self.producer, **options)


def _share(alike: Sequence[Due], slots: int) -> int:
    """How many of the ticks that go the same way share a message, for every slot to be busy."""
    return min(-(-len(alike) // slots), QUICK if alike[0].quick else SLOW)
