"""Change three things about Celery's broker.

Messages are never acknowledged, a worker survives data in its queue that is not a message, and
events are sent in groups.

A message is only a hint (ledger/), so nothing is gained by acknowledging it, and much is lost.
kombu delivers unacknowledged messages again. If Redis restarts before that, the worker ends with an
AttributeError (kombu 5.7: closing the transport clears what restoring the messages needs).
"""

from functools import cache
from typing import Any, cast

import billiard.pool
import structlog
from celery.app.amqp import AMQP, Queues
from celery.bootsteps import StartStopStep
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError

from cron_tasks.text.display import short_repr

log = structlog.get_logger("cron_tasks.broker")

#: The default queue of a Celery app. Workers of other apps on the same Redis read it, and would
#: discard our messages, as ours would discard theirs.
CELERY_QUEUE = "celery"
#: Seconds for which a worker collects its events for Flower.
EVENTS_EVERY = 0.1
#: The errors that Celery raises on a message whose headers or properties have an unknown shape.
UNREADABLE_ERRORS = (LookupError, TypeError, ValueError, AttributeError)
# At a warm shutdown, a child may wait for its parent to read its last result while the parent waits
# for the child. This is the time limit of that wait in tenths of a second (billiard's is 300). The
# result itself is in the ledger.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10


class _Queues(Queues):
    def new_missing(self, name: str) -> Any:
        queue = super().new_missing(name)
        queue.no_ack = True
        return queue


class _Connection(Connection):
    """Tries every 3 s to reconnect to the broker. kombu's own pauses grow to 30 s."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        often = {"interval_start": 1, "interval_step": 1, "interval_max": 3}
        return super().ensure_connection(*args, **often | options)

    def get_transport_cls(self) -> Any:
        transport: Any = super().get_transport_cls()
        return _harden_transport(transport)


class _Transport:
    """Logs and drops data that is not a message. On such data, kombu 5.7 ends the worker."""

    def _deliver(self, message: Any, queue: str) -> None:
        if not _is_message(message):
            _log_dropped_message(message, "it is not a Celery message")
            return
        try:
            cast("Any", super())._deliver(message, queue)
        except UNREADABLE_ERRORS as error:
            _log_dropped_message(message, f"{type(error).__name__}: {error}")
            # Celery may have reserved a slot for it, which the restart of the consumer frees.
            raise ChannelError("a message that Celery could not read") from error


class _Channel:
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return cast("Any", super())._brpop_read(**options)
        except (ValueError, RecursionError) as error:
            _log_dropped_message(getattr(error, "doc", None), f"it is not JSON: {error}")

    def basic_ack(self, *_: Any, **__: Any) -> None:
        """Do nothing. Celery acknowledges every message, which costs a round trip."""


@cache
def _harden_transport(transport: Any) -> Any:
    channel = type("Channel", (_Channel, transport.Channel), {})
    return type("Transport", (_Transport, transport), {"Channel": channel})


def _is_message(message: Any) -> bool:
    """Return whether it has the parts that kombu's Message and Celery's consumer need."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("headers") or {}, dict)
        and isinstance(message.get("body"), str)
        and isinstance(properties := message.get("properties"), dict)
        and "delivery_tag" in properties
    )


def _log_dropped_message(message: Any, reason: str) -> None:
    hint = "check which other program writes to the lists of the broker"
    log.error("message.dropped", message=short_repr(message, 200), reason=reason, hint=hint)


class Unacknowledged(AMQP):
    """Celery's AMQP without acknowledgments, including queues named by `-Q` or by a job."""

    Connection = _Connection
    queues_cls = _Queues


class EventsTogether(StartStopStep):
    """Sends the events of a tenth of a second as one message.

    Celery sends each event separately, which takes half the time of the worker's main process.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        hub, dispatcher, scheduled = consumer.hub, consumer.event_dispatcher, False

        def send_events() -> None:
            nonlocal scheduled
            scheduled = False
            dispatcher.flush()

        def schedule_sending() -> None:
            nonlocal scheduled
            if not scheduled:
                scheduled = True
                hub.call_later(EVENTS_EVERY, send_events)

        if hub and dispatcher:
            dispatcher.on_send_buffered = schedule_sending


def make_worker_queue(name: str) -> Queue:
    """Return the queue `name` without acknowledgments."""
    return Queue(name, Exchange(name), routing_key=name, no_ack=True)
