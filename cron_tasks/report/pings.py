"""Send the pings about runs to the `heartbeat_url` of their jobs.

They wait in the list `cron_tasks:pings`. They are added in the same step as the outcome of a run,
or when its action starts. So no run waits for a ping, and the death of a worker loses none. A
thread of each worker's main process checks the list every second, and only one of them sends at a
time. A ping that fails is logged and not repeated, because a late sign of life is worth little.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import structlog
from celery.signals import worker_ready
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.http.pings import add_to_path, origin_of, send_ping
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.leases import keep_calling, take_or_extend
from cron_tasks.store.readable import is_time, parse_each
from cron_tasks.text.display import printable

log = structlog.get_logger("cron_tasks.report")

#: Seconds between two checks of the list.
EVERY = 1.0
#: Seconds after which another worker takes over from one that died.
LOCK_TTL = 10.0
#: The most pings that are read at once, and the most requests at the same time.
PAGE, THREADS = 200, 16
#: Seconds after which a ping is dropped: no worker ran for an hour.
TOO_OLD = 3600.0

Ping = dict[str, Any]


def _parse_ping(text: str) -> Ping:
    """Parse a waiting ping. Raises an error for what another program has written."""
    ping: Ping = orjson.loads(text)
    texts = all(isinstance(ping[name], str) for name in ("job_id", "url", "suffix", "rid"))
    if not texts or not is_time(ping["at"]):
        raise ValueError("not a ping")
    origin_of(ping["url"])
    return ping


class Pinger:
    """Sends the pings of one Redis. `clock` returns seconds since the epoch."""

    def __init__(self, redis: Redis, settings: Settings, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._rules = settings.http_allow
        self._clock = clock
        self._lock = redis.lock(keys.PINGS_LOCK, timeout=LOCK_TTL, thread_local=False)

    def run(self) -> None:
        """Send pings for as long as this process lives."""
        while True:
            try:
                while self.send_page():
                    pass
            except RedisError as error:
                log.warning("pings.waiting", error=str(error))
            except Exception:
                log.exception("pings.raised")
            time.sleep(EVERY)

    def send_page(self) -> bool:
        """Send the waiting pings, at most PAGE. Return whether there were any."""
        if not self._redis.exists(keys.PINGS) or not take_or_extend(self._lock):
            return False
        page: Any = self._redis.lrange(keys.PINGS, 0, PAGE - 1)
        with keep_calling(self._lock.reacquire, LOCK_TTL / 3):
            self._send(list(parse_each(_parse_ping, page)))
        # Only the holder of the lock removes pings, and new ones are added at the other end.
        self._redis.ltrim(keys.PINGS, len(page), -1)
        return bool(page)

    def _send(self, pings: Sequence[Ping]) -> None:
        """Send the pings of each URL one after the other, and those of several URLs in parallel.

        After a URL did not answer, the rest of the page does not wait for its origin.
        """
        by_url: dict[str, list[Ping]] = defaultdict(list)
        for ping in pings:
            by_url[ping["url"]].append(ping)
        away: dict[str, str] = {}

        def send_in_turn(url: str) -> list[tuple[str, str, str]]:
            return [
                (ping["job_id"], origin_of(url), why)
                for ping in by_url[url]
                if (why := self._send_one(ping, away))
            ]

        with ThreadPoolExecutor(THREADS, "ping") as pool:
            lost = [each for found in pool.map(send_in_turn, by_url) for each in found]
        for (job_id, origin, why), count in _count(lost).items():
            log.warning(
                "ping.lost", job_id=printable(job_id), origin=origin, reason=why, pings=count
            )

    def _send_one(self, ping: Ping, away: dict[str, str]) -> str | None:
        """Return why a ping is lost, or None."""
        if self._clock() - ping["at"] > TOO_OLD:
            return "no worker sent it within an hour"
        origin = origin_of(ping["url"])
        if why := away.get(origin):
            return why
        url = add_to_path(ping["url"], ping["suffix"], f"rid={ping['rid']}")
        why = send_ping(url, "POST", self._rules)
        if why and not why.startswith("answered"):
            away[origin] = why
        return why


def _count(lost: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for each in lost:
        counts[each] += 1
    return counts


def install_pinger(connect: Callable[[], Redis], settings: Settings) -> None:
    """Send pings from this process, if it becomes the main process of a Celery worker."""

    def start(**_: Any) -> None:
        pinger = Pinger(connect(), settings, time.time)
        threading.Thread(target=pinger.run, name="pings", daemon=True).start()

    worker_ready.connect(start, weak=False)
