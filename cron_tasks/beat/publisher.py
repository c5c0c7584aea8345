"""Sends Celery messages for the ticks in the ledger: one for each tick, or one for many in a storm.

Plain ticks are batches of the ledger (ledger/batch.py), and their message is the id of the batch.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import structlog
from celery import Celery
from kombu import Producer

from cron_tasks.broker.depth import QUEUE_FULL, count_messages
from cron_tasks.ledger.batch import Departure
from cron_tasks.ledger.tick import Due
from cron_tasks.store import keys
from cron_tasks.store.paging import pages

log = structlog.get_logger("cron_tasks.beat")

#: Up to this many ticks at once have a separate message each, so that Flower shows every run.
FEW = 10
#: The most ticks in one message. Running a batch of quick ticks, and launching a batch of waiting
#: ones, takes some ten milliseconds. A batch of others saves most of Celery's cost for each
#: message.
QUICK, SLOW = 500, 10
#: The most plain ticks in a batch of the ledger, and the largest batch that is not split. One
#: Celery message costs as much as 1,000 of them.
BATCH, SMALL_BATCH = 2000, 500
#: Seconds for which the check of a full queue is valid, because a check costs a round trip.
LOOK_EVERY = 1.0
#: Seconds in which a worker that is busy, or whose clock is off, still obeys.
REVOKE_WITHIN = 60.0


class Publisher:
    """Publishes through one kombu producer, in batches.

    `count_slots` returns how many runs the workers can perform at the same time. `note_queue` is
    called once for each queue that a job names.
    """

    def __init__(
        self,
        app: Celery,
        producer: Producer,
        count_slots: Callable[[], int],
        note_queue: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.app = app
        self.producer = producer
        self.count_slots = count_slots
        self.note_queue = note_queue
        self._noted = set[str]()
        self._full: dict[str | None, tuple[float, bool]] = {}

    def request_sync(self) -> None:
        """Send the message that makes a worker sync the wanted rows (registry/wanted.py) now."""
        every = self.app.conf.beat_schedule[keys.SYNC_TASK]["options"]["expires"]
        self._send(keys.SYNC_TASK, [[]], {"expires": every})

    def send_ticks(self, due: Sequence[Due]) -> None:
        """Send a hint for each tick. The sweep sends a hint again if nobody receives it.

        A full queue gets none.
        """
        # With at least as many slots as ticks, each tick gets a separate message.
        slots = self.count_slots() if len(due) > FEW else len(due)
        alike: dict[tuple[Any, ...], list[Due]] = {}
        for tick in due:
            kind = (tick.quick, tick.waits)
            alike.setdefault((kind, *tick.options.items()), []).append(tick)
        with self.producer.batch():  # type: ignore[attr-defined]
            for ticks in alike.values():
                options = ticks[0].options
                self._note(queue := options.get("queue"))
                if not self._is_full(queue):
                    for batch in pages(ticks, _batch_size(ticks, slots)):
                        self._send_batch(batch, options)

    def _note(self, queue: str | None) -> None:
        if queue is not None and queue not in self._noted:
            self.note_queue(queue)
            self._noted.add(queue)

    def split(self, departure: Departure) -> Iterator[Departure]:
        """Split plain ticks into parts, one for each batch, so that every slot gets some of
        many."""
        if departure.size <= SMALL_BATCH:
            return departure.split(SMALL_BATCH)
        share = -(-departure.size // self.count_slots())
        return departure.split(min(max(share, SMALL_BATCH), BATCH))

    def send_batch(self, batch_id: str, options: Mapping[str, Any]) -> None:
        """Send a hint for a batch of the ledger, unless its queue is full."""
        self._note(queue := options.get("queue"))
        if not self._is_full(queue):
            # In one round trip with the event for Flower.
            with self.producer.batch():  # type: ignore[attr-defined]
                self._send(keys.BATCH_TASK, [batch_id], {**options, "task_id": batch_id})

    def look_at(self, queues: Collection[str | None]) -> None:
        """Check now whether the queues are full to which ticks will be sent within a moment."""
        for queue in queues:
            self._is_full(queue, LOOK_EVERY / 2)

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Tell the workers of every app on the broker to end these tasks, or not to begin them."""
        self.app.control.revoke(
            list(task_ids),
            terminate=True,
            connection=self.producer.connection,
            timeout=REVOKE_WITHIN,
        )

    def count_waiting(self, queue: str | None) -> int:
        """Return the number of our messages that wait in a Celery queue (None: the default one)."""
        return count_messages(self.producer, queue or self.app.conf.task_default_queue)

    def _is_full(self, queue: str | None, within: float = LOOK_EVERY) -> bool:
        """Return whether a queue was full `within` the last seconds. None is the default queue."""
        looked_up, full = self._full.get(queue, (0.0, False))
        if time.monotonic() - looked_up > within:
            was, full = full, self.count_waiting(queue) > QUEUE_FULL
            self._full[queue] = time.monotonic(), full
            if full and not was:
                why = f"it holds more than {QUEUE_FULL} messages, or is not a Redis list"
                log.error("queue.full", queue=queue, why=why, hint="its ticks wait in the ledger")
        return full

    def _send_batch(self, batch: Sequence[Due], options: Mapping[str, Any]) -> None:
        tick = batch[0]
        if len(batch) == 1:
            self._send(keys.RUN_TASK, [tick.job_id], {**options, "task_id": tick.run_id})
            return
        shown = f"({len(batch)} ticks from {tick.run_id})"
        run_ids = [tick.run_id for tick in batch]
        quick = None if tick.waits else tick.quick
        self._send(keys.CHUNK_TASK, [run_ids, quick], {**options, "argsrepr": shown})

    def _send(self, task: str, args: list[Any], options: Mapping[str, Any]) -> None:
        self.app.send_task(task, args, producer=self.producer, **options)


def _batch_size(alike: Sequence[Due], slots: int) -> int:
    """Return the number of ticks with the same options that share a message, so that all slots are
    busy."""
    together = alike[0].quick or alike[0].waits
    return min(-(-len(alike) // slots), QUICK if together else SLOW)
