"""How many messages wait in a queue of the broker."""

from typing import Any

from kombu import Producer
from kombu.exceptions import ChannelError
from redis.exceptions import ResponseError

from cron_tasks.store.client import wrong_type

#: A queue with more messages than this gets no more; its ticks wait in the ledger.
QUEUE_FULL = 10_000


def count_messages(producer: Producer, queue: str) -> int:
    """Messages that wait in a queue; as many as in a full one where it is no Redis list."""
    try:
        channel: Any = producer.channel
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0
    except ResponseError as error:
        if not wrong_type(error):
            raise
        return QUEUE_FULL + 1
