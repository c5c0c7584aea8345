"""The errors that beat waits out: a Redis or a broker that is away, full or read-only."""

from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]
from redis.exceptions import RedisError

from cron_tasks.store.client import is_wrong_type

#: Errors of a Redis or broker that is away, full or read-only. Beat waits until it is back.
TROUBLE = (RedisError, OperationalError, BatchPublishError, OSError)


def is_trouble(error: BaseException) -> bool:
    """Return whether the server is at fault. A key of a wrong type is a broken entry instead."""
    return isinstance(error, TROUBLE) and not is_wrong_type(error)
