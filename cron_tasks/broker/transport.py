"""What we need otherwise of Celery's broker: queues whose messages are never unacknowledged,
a worker that survives what is no message, and events that travel together.

A message is only a hint (ledger.py), so nothing is gained by acknowledging it, and much is lost:
what is unacknowledged kombu delivers again, and when Redis restarts meanwhile the worker ends with
an AttributeError (kombu 5.7: closing the transport clears what restoring the messages needs).
"""

from functools import cache
from typing import Any

import billiard.pool
import structlog
from celery.app.amqp import AMQP, Queues
from celery.bootsteps import StartStopStep
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError

from cron_tasks.text.display import short_repr

log = structlog.get_logger("cron_tasks.broker")

DEFAULT = "celery"
#: Seconds for which a worker gathers its events for Flower.
EVENTS_EVERY = 0.1
#: What Celery raises over a message whose headers or properties are of another shape than its own.
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError)
# At a warm shutdown a child may wait for its parent to read its last result, and the parent for the
# child: tenths of a second until it goes (billiard's 300). The result itself is in the ledger.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10


class _Queues(Queues):
    def new_missing(self, name: str) -> Any:
        queue = super().new_missing(name)
        queue.no_ack = True
        return queue


class _Connection(Connection):
    """Looks every 3 s whether the broker is back; kombu's own waits grow to 30 s."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        often = {"interval_start": 1, "interval_step": 1, "interval_max": 3}
        return super().ensure_connection(*args, **often | options)

    def get_transport_cls(self) -> Any:
        transport: Any = super().get_transport_cls()
        return _hardened(transport)


class _Transport:
    """kombu 5.7 ends the worker when a message is none; such a one is said, and dropped."""

    def _deliver(self, message: Any, queue: str) -> None:
        if not _is_message(message):
            _dropped(message, "it is none of Celery's")
            return
        try:
            super()._deliver(message, queue)  # type: ignore[misc]
        except MISSHAPEN as error:
            _dropped(message, f"{type(error).__name__}: {error}")
            # Celery may have reserved a slot for it; the consumer's restart gives it back.
            raise ChannelError("a message that Celery could not read") from error


class _Channel:
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, RecursionError) as error:
            _dropped(getattr(error, "doc", None), f"it is no JSON: {error}")

    def basic_ack(self, *_: Any, **__: Any) -> None:
        """Celery acknowledges every message; of one that needs it not, it costs a round trip."""


@cache
def _hardened(transport: Any) -> Any:
    channel = type("Channel", (_Channel, transport.Channel), {})
    return type("Transport", (_Transport, transport), {"Channel": channel})


def _is_message(message: Any) -> bool:
    """Whether it has what kombu's Message and Celery's consumer take for granted."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("headers") or {}, dict)
        and isinstance(message.get("body"), str)
        and isinstance(properties := message.get("properties"), dict)
        and "delivery_tag" in properties
    )


def _dropped(message: Any, reason: str) -> None:
    hint = "see who else writes to the lists of the broker"
    log.error("message.dropped", message=short_repr(message, 200), reason=reason, hint=hint)


class Unacknowledged(AMQP):
    """Celery's AMQP, for queues named by `-Q` or by a job."""

    Connection = _Connection
    queues_cls = _Queues


class EventsTogether(StartStopStep):
    """Sends the events of a tenth of a second as one message.

    Each by itself, as Celery sends them, takes half the time of the worker's main process.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        hub, dispatcher, waiting = consumer.hub, consumer.event_dispatcher, False

        def flush() -> None:
            nonlocal waiting
            waiting = False
            dispatcher.flush()

        def buffered() -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                hub.call_later(EVENTS_EVERY, flush)

        if hub and dispatcher:
            dispatcher.on_send_buffered = buffered


def default_queue() -> Queue:
    """The queue of jobs that name none."""
    return Queue(DEFAULT, Exchange(DEFAULT), routing_key=DEFAULT, no_ack=True)
