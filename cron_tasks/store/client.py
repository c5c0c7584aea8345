"""One way to reach Redis, whatever the URL: redis://, rediss://, sentinel://, unix://."""

from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from cron_tasks.store.urls import parse_redis_url

#: A call that got no answer within this many seconds is given up.
TIMEOUT = 5.0

#: What every connection is made with: text both ways (undecodable bytes survive), and two quick
#: tries, since each of our scripts may be repeated without harm; longer waiting is the caller's.
OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "encoding_errors": "surrogateescape",
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # A worker of hundreds of threads needs as many at an instant; redis-py stops at 100.
    "max_connections": 10_000,
}


def connect(url: str, timeout: float = TIMEOUT, retries: int = 2) -> Redis:
    """A client for `url`; connects on first use. A call is given up after `timeout` seconds.

    sentinel://[user:password@]host:port[;sentinel://host:port…][/db]?master_name=NAME
    unix://[user:password@]/path/to.sock?db=0
    """
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.2)
    timeouts = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    options = OPTIONS | timeouts | {"retry": Retry(backoff, retries)}
    if url.startswith("sentinel://"):
        return _connect_sentinel(url, options)
    if url.startswith("unix://"):
        options.pop("socket_keepalive")  # TCP alone has it
    return Redis.from_url(url, **options)


def wrong_type(error: BaseException) -> bool:
    """Whether a key holds another type than the command is for: waiting does not mend that."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def _connect_sentinel(url: str, options: dict[str, Any]) -> Redis:
    parts = parse_redis_url(url)
    timeouts = {key: value for key, value in options.items() if key.startswith("socket_")}
    sentinel = Sentinel(parts.nodes, sentinel_kwargs=timeouts)  # type: ignore[no-untyped-call]
    master: Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        parts.options["master_name"],
        db=parts.database,
        username=parts.username,
        password=parts.password,
        **options,
    )
    return master
