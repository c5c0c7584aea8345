"""Connects to Redis by any URL: redis://, rediss://, sentinel:// or unix://."""

from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from cron_tasks.store.urls import parse_redis_url

#: Seconds after which a call without a reply fails.
TIMEOUT = 5.0

#: The `hash-max-listpack-value` with which Redis stores each job in one piece. It is longer than
#: the values of nearly all entries (docs/keys.md).
LONGEST_VALUE = 512

#: Options of every connection. Text goes both ways, and undecodable bytes survive. A failed call is
#: repeated a few times at once, because each of our scripts may be repeated without harm. Callers
#: that can wait longer do so themselves.
OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "encoding_errors": "surrogateescape",
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # A worker of hundreds of threads needs as many connections. The default of redis-py is 100.
    "max_connections": 10_000,
}

#: The errors of a Redis that is away, loads its data, is full, read-only or without its primary.
_AWAY = (
    ConnectionError,
    TimeoutError,
    OutOfMemoryError,
    ReadOnlyError,
    MasterDownError,
    ClusterDownError,
)
#: Error codes for which redis-py has no class: the disk is full, replicas are missing, or a slow
#: script runs.
_AWAY_CODES = ("MISCONF", "NOREPLICAS", "BUSY")


def connect(url: str, timeout: float = TIMEOUT, retries: int = 2) -> Redis:
    """Return a client for `url`, which connects on first use.

    A call without a reply fails after `timeout` seconds, and is tried `retries` times more. The
    URLs of a Sentinel and of a socket are:

    sentinel://[user:password@]host:port[;sentinel://host:port…][/db]?master_name=NAME
    unix://[user:password@]/path/to.sock?db=0
    """
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.2)
    timeouts = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    options = OPTIONS | timeouts | {"retry": Retry(backoff, retries)}
    if url.startswith("sentinel://"):
        return _connect_sentinel(url, options)
    if url.startswith("unix://"):
        options.pop("socket_keepalive")  # Only TCP has this option.
    return Redis.from_url(url, **options)


def is_wrong_type(error: BaseException) -> bool:
    """Return whether a key has another type than the command needs. Waiting does not help."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def is_away(error: BaseException) -> bool:
    """Return whether Redis cannot be reached or takes no writes. Waiting helps."""
    return isinstance(error, _AWAY) or (
        isinstance(error, ResponseError) and str(error).startswith(_AWAY_CODES)
    )


def _connect_sentinel(url: str, options: dict[str, Any]) -> Redis:
    parts = parse_redis_url(url)
    timeouts = {key: value for key, value in options.items() if key.startswith("socket_")}
    sentinel = Sentinel(parts.nodes, sentinel_kwargs=timeouts)
    master: Redis = sentinel.master_for(
        parts.options["master_name"],
        db=parts.database,
        username=parts.username,
        password=parts.password,
        **options,
    )
    return master
