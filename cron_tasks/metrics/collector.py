"""Reads the metrics of the whole system from Redis. Every beat, and Flower, serve the same ones."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import structlog
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.ledger.state import Kind
from cron_tasks.metrics.catalogue import BUILD, READ
from cron_tasks.metrics.families import Value, make_family, read_counters
from cron_tasks.metrics.queues import read_queues
from cron_tasks.metrics.version import read_version
from cron_tasks.registry.wanted import KEPT
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.client import is_wrong_type
from cron_tasks.store.readable import is_count, parse_each
from cron_tasks.store.scripts import script
from cron_tasks.vitals.judgement import RIVAL_SHOWN
from cron_tasks.vitals.signs import request_fresh_signs

log = structlog.get_logger("cron_tasks.metrics")

#: Open runs that one step of Redis reads.
PAGE = 5_000
KINDS = tuple(kind.value for kind in Kind)
SYNC_STATES = ("ok", "failing", "refused")
_count_open = script("metrics/count_open")


class _Found(NamedTuple):
    """The answers to the commands of a scrape, in their order. None for a key of another type.

    `members` are those of the schedule, including the `statics`, which are not ours. `source` has
    the state of the last sync, and when another installation tried to sync. `wanted` and `taken`
    are the remaining milliseconds of the requests for a sync.
    """

    counters: dict[str, str] | None
    dropped: dict[str, str] | None
    success: str | None
    lost: str | None
    due: list[tuple[str, float]] | None
    jobs: int | None
    members: int | None
    statics: int | None
    set_aside: int | None
    rejected: int | None
    failing: int | None
    leads: int | None
    signs: list[str] | None
    workers: list[str] | None
    source: list[str | None] | None
    wanted: int | None
    taken: int | None


class RedisCollector(Collector):
    """Collects the values in Redis at the moment of a scrape."""

    def __init__(
        self, redis: Redis, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self.redis = redis
        self.settings = settings
        self.clock = clock

    def describe(self) -> list[Family]:
        """Return nothing, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[Family]:
        values: dict[str, list[Value]] = {}
        counters: dict[str, str] = {}
        try:
            counters = self._read(values)
            values["redis_up"] = [((), 1)]
        except (RedisError, ValueError) as error:
            log.warning("metrics.unread", error=str(error))
            values = {"redis_up": [((), 0)]}
        yield make_family(BUILD, [((read_version(),), 1)])
        yield from (make_family(each, values[each.name]) for each in READ if each.name in values)
        if counters or len(values) > 1:
            yield from read_counters(counters)

    def _read(self, values: dict[str, list[Value]]) -> dict[str, str]:
        """Read all values, and return the counters. Raises RedisError."""
        now, redis = self.clock(), self.redis
        with redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.METRICS)
            pipe.hgetall(keys.DROPPED)
            pipe.hget(keys.SOURCE, "last_success")
            pipe.get(keys.LOST)
            pipe.zrangebyscore(keys.SCHEDULE, 0, now, 0, 1, withscores=True)
            pipe.hlen(keys.JOBS)
            pipe.zcard(keys.SCHEDULE)
            pipe.scard(keys.STATICS)
            pipe.hlen(keys.SET_ASIDE)
            pipe.hlen(keys.REJECTED)
            pipe.hlen(keys.FAILING)
            pipe.exists(keys.LEADER_LOCK)
            request_fresh_signs(pipe, now)
            pipe.zrangebyscore(keys.WORKERS, now, "+inf")
            pipe.hmget(keys.SOURCE, "state", "rival_at")
            pipe.pttl(keys.SYNC_WANTED)
            pipe.pttl(keys.SYNC_TAKEN)
            answers = pipe.execute(raise_on_error=False)
        found = _Found(*map(_or_nothing, answers))
        # A rate needs a value from before the first drop.
        dropped = {self.settings.notify_queue: 0} | (found.dropped or {})
        counters = found.counters or {}
        values |= _describe_state(now, found)
        values |= {
            "notifications_dropped_total": [
                ((name,), int(n)) for name, n in dropped.items() if str(n).isdecimal()
            ],
            "open_ticks": [((kind,), number) for kind, number in self._count_open().items()],
        }
        for at in parse_each(float, filter(None, [found.success])):
            values["sync_success_timestamp_seconds"] = [((), at)]
        if is_count(found.lost):
            values["ticks_lost"] = [((), int(found.lost or 0))]
        values |= read_queues(redis, self.settings, counters, now)
        return counters

    def _count_open(self) -> dict[str, int]:
        """Return the open runs by state. Each step of Redis is short, however many there are."""
        counts, cursor = Counter(dict.fromkeys(KINDS, 0)), "0"
        while True:
            cursor, *pairs = _count_open(self.redis, cursor=cursor, page_size=PAGE)
            counts.update(dict(zip(pairs[::2], pairs[1::2], strict=True)))
            if cursor == "0":
                return counts


def _describe_state(now: float, found: _Found) -> dict[str, list[Value]]:
    """Return the gauges of the registry, of beat, of the workers and of the sync."""
    jobs, set_aside = found.jobs or 0, found.set_aside or 0
    scheduled = min(max((found.members or 0) - (found.statics or 0), 0), jobs)
    by_state = {
        "scheduled": scheduled,
        "unscheduled": max(jobs - scheduled - set_aside, 0),
        "set_aside": set_aside,
        "rejected": found.rejected or 0,
    }
    sync_state, rival_at = found.source or (None, None)
    has_rival = any(now - at < RIVAL_SHOWN for at in parse_each(float, filter(None, [rival_at])))
    waiting = (found.wanted, found.taken)
    ages = [KEPT - left / 1000 for left in waiting if left and left > 0]
    oldest = now - found.due[0][1] if found.due else 0.0
    workers = {each.rpartition("|")[0] for each in found.workers or ()}
    return {
        "due_oldest_age_seconds": [((), max(oldest, 0.0))],
        "jobs": [((name,), number) for name, number in by_state.items()],
        "jobs_failing": [((), found.failing or 0)],
        "leader": [((), int(bool(found.leads)))],
        "beats": [((), sum(sign.startswith("beat|") for sign in found.signs or ()))],
        "workers": [((), len(workers))],
        "sync_state": [
            ((name,), int(name == sync_state or (has_rival and name == "refused")))
            for name in SYNC_STATES
        ],
        "edit_lag_seconds": [((), max([0.0, *ages]))],
    }


def _or_nothing(answer: Any) -> Any:
    """Return an answer, or None for a key of another type. Raises any other error."""
    if isinstance(answer, Exception):
        if not is_wrong_type(answer):
            raise answer
        return None
    return answer
