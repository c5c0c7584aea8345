"""Queues whose messages are never unacknowledged.

A message is only a hint (ledger.py), so nothing is gained by acknowledging it, and much is lost:
what is unacknowledged kombu delivers again, and when Redis restarts meanwhile the worker ends with
an AttributeError (kombu 5.7: closing the transport clears what restoring the messages needs).
"""

from typing import Any

from celery.app.amqp import AMQP, Queues
from kombu import Connection, Exchange, Queue

DEFAULT = "celery"


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


class Unacknowledged(AMQP):
    """Celery's AMQP, for queues named by `-Q` or by a job."""

    Connection = _Connection
    queues_cls = _Queues


def default_queue() -> Queue:
    """The queue of jobs that name none."""
    return Queue(DEFAULT, Exchange(DEFAULT), routing_key=DEFAULT, no_ack=True)
