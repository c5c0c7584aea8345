"""What we need otherwise of Celery's broker: queues whose messages are never unacknowledged, and
events that travel together.

A message is only a hint (ledger.py), so nothing is gained by acknowledging it, and much is lost:
what is unacknowledged kombu delivers again, and when Redis restarts meanwhile the worker ends with
an AttributeError (kombu 5.7: closing the transport clears what restoring the messages needs).
"""

from functools import cache
from typing import Any

import billiard.pool
from celery.app.amqp import AMQP, Queues
from celery.bootsteps import StartStopStep
from kombu import Connection, Exchange, Queue

DEFAULT = "celery"
#: Seconds for which a worker gathers its events for Flower.
EVENTS_EVERY = 0.1
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
        return _without_acks(transport)


@cache
def _without_acks(transport: Any) -> Any:
    """Celery acknowledges every message; of one that needs it not, this costs a round trip."""
    own = {"basic_ack": lambda *_, **__: None}
    channel = type("Channel", (transport.Channel,), own)
    return type("Transport", (transport,), {"Channel": channel})


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
