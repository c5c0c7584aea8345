"""Count the messages in a worker queue."""

from typing import Any

from kombu import Producer
from kombu.exceptions import ChannelError
from redis.exceptions import ResponseError

from cron_tasks.store.client import is_wrong_type

#: No more messages are sent to a queue with more than this. Its ticks stay open in the ledger.
QUEUE_FULL = 10_000


def count_messages(producer: Producer, queue: str) -> int:
    """Return the number of messages in a queue.

    A key of another type than a Redis list counts as a full queue.
    """
    try:
        channel: Any = producer.channel
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        return QUEUE_FULL + 1
