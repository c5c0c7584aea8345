"""Check every part of a running system. Each check knows how to mend what it finds wrong."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, cast

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from cron_tasks.errors import SettingsError
from cron_tasks.health.failures import describe_failure
from cron_tasks.registry.plan import compare_list
from cron_tasks.registry.registry import Registry
from cron_tasks.repair.comparison import Comparison
from cron_tasks.rest.listing import Source
from cron_tasks.schedules.human import format_duration
from cron_tasks.settings import Settings, load
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.sync.reconciler import Reconciler, make_policy
from cron_tasks.sync.state import RIVAL_SHOWN, load_status, service_of
from cron_tasks.text.english import none_or, number_of

#: Seconds to wait for an answer from Redis, and from the workers.
PATIENCE = 2.0
#: Seconds to wait for the REST service: for one response, and for the whole list.
REST_PATIENCE = {"rest_timeout": 3.0, "rest_deadline": 5.0}
#: ZMSCORE came with Redis 6.2. Every Valkey has it.
OLDEST_REDIS = (6, 2)
#: Seconds that clocks may differ: the clocks of several machines name and judge ticks.
SKEW = 2.0
#: Seconds by which a due entry or the deadline of a tick may be late.
LATE = 30.0
#: A queue that holds more than this share of NOTIFY_MAX does not seem to have a reader.
NEARLY_FULL = 0.8

#: Meaning of each kind of difference in the registry: what is counted, and what is wrong with it.
DIFFERENCES = {
    "unscheduled": ("job", "with a next tick, but not in the schedule"),
    "unreadable": ("job", "without a readable entry"),
    "unlisted": ("entry", "not in the index of jobs"),
    "untimed": ("open tick", "without a deadline"),
    "leftovers": ("note", "about ticks that have ended"),
}


@dataclass
class System:
    """The system to check, at `now` (seconds since the epoch).

    `is_reachable` is whether Redis answers. Checks set it to False.
    """

    settings: Settings
    redis: Redis
    now: float
    is_reachable: bool = True

    @cached_property
    def info(self) -> dict[str, Any]:
        return self.redis.info()


class Result(NamedTuple):
    """The result of a probe. `mend` replaces the advice of its check."""

    is_ok: bool
    detail: str
    mend: str = ""


class Check(NamedTuple):
    """A probe, the status if it does not find all well ("warn" or "fail"), and what to do then."""

    probe: Callable[[System], Result]
    wrong: str
    mend: str


class Finding(NamedTuple):
    """The result of a check. `mend` is what to do, unless the status is "ok"."""

    check: str
    status: str
    detail: str
    mend: str = ""


def run_checks() -> Iterator[Finding]:
    """Yield a finding for each check, as soon as it is made.

    Wrong settings end the checks. Without Redis only the REST service is checked.
    """
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding("settings", "fail", line)
        return
    for warning in settings.warnings:
        yield Finding("settings", "warn", warning, "Correct its name, or remove it")
    if not settings.warnings:
        yield Finding("settings", "ok", "All settings are valid")
    with connect(settings.redis_url.get_secret_value(), timeout=PATIENCE, retries=0) as redis:
        system = System(settings, redis, time.time())
        for name in CHECKS:
            if system.is_reachable or name == "rest service":
                yield run_check(name, system)


def run_check(name: str, system: System) -> Finding:
    """Run one check. If its probe fails, so does the check.

    If the probe finds that Redis does not answer, `system.is_reachable` becomes False.
    """
    probe, wrong, mend = CHECKS[name]
    try:
        result = probe(system)
    except Exception as error:
        if (text := describe_failure(error)) is None:
            raise
        if isinstance(error, ConnectionError | TimeoutError):
            system.is_reachable = False
            mend = "Start Redis. The checks that need it were skipped"
        return Finding(name, "fail", text, mend)
    if result.is_ok:
        return Finding(name, "ok", result.detail)
    return Finding(name, wrong, result.detail, result.mend or mend)


def _check_redis(system: System) -> Result:
    info = system.info
    name = "Valkey" if "valkey_version" in info else "Redis"
    number = str(info.get("valkey_version") or info.get("redis_version", "0"))
    is_new = name == "Valkey" or tuple(map(int, number.split(".")[:2])) >= OLDEST_REDIS
    is_replica = info.get("role") == "slave"
    kind = ", a read-only replica" if is_replica else ""
    where = f"{name} {number} at {system.settings.masked_redis_url}"
    return Result(is_new and not is_replica, where + kind)


def _check_eviction(system: System) -> Result:
    policy = str(system.info.get("maxmemory_policy"))
    if policy == "noeviction":
        return Result(True, policy)
    return Result(False, f"{policy}: Redis deletes jobs and runs when its memory is full")


def _check_persistence(system: System) -> Result:
    if not system.info.get("aof_enabled"):
        return Result(False, "AOF is off: a restart of Redis loses all since its last snapshot")
    if system.info.get("aof_last_write_status", "ok") != "ok":
        disk = "Check that the disk of Redis is not full"
        return Result(False, "AOF is on, but its last write failed", disk)
    return Result(True, "AOF is on")


def _check_clock(system: System) -> Result:
    seconds, microseconds = system.redis.time()
    off = seconds + microseconds / 1e6 - time.time()
    apart = f"is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'}"
    relation = "agrees with" if abs(off) < 0.1 else apart
    return Result(abs(off) <= SKEW, f"The clock of Redis {relation} the clock of this machine")


def _check_rest_service(system: System) -> Result:
    settings = system.settings
    settings.require("rest_url")
    hurried = settings.model_copy(
        update={name: min(most, getattr(settings, name)) for name, most in REST_PATIENCE.items()}
    )
    current = Registry(system.redis).read_fingerprints() if system.is_reachable else {}
    with Source(hurried).open_list(None) as listing:
        found = compare_list(current, listing, make_policy(settings))
    rows = number_of(found.unchanged + len(found.candidates) + len(found.rejected), "row")
    if found.refusal:
        force = "If the list is right, run `cron-tasks sync --force`"
        return Result(False, f"{rows}; {found.refusal}", f"Current jobs stay unchanged. {force}")
    return Result(True, rows)


def _check_last_sync(system: System) -> Result:
    status = Reconciler(system.redis, system.settings).status()
    if status.state is None:
        return Result(False, "No sync has run yet")
    if status.state != "ok":
        lasting = format_duration(system.now - (status.since or system.now))
        unchanged = "Current jobs stay unchanged until a sync succeeds"
        return Result(False, f"{status.state} for {lasting}: {status.detail}", unchanged)
    age = system.now - (status.last_success or 0)
    is_recent = age <= 3 * system.settings.sync_interval + 10
    return Result(is_recent, f"The last sync succeeded {format_duration(age)} ago")


def _check_owner(system: System) -> Result:
    status = load_status(system.redis)
    system.settings.require("rest_url")
    ours = service_of(system.settings)
    if status.owner not in (None, ours):
        other = f"but this installation reads {ours}"
        return Result(False, f"Redis holds the jobs of {status.owner}, {other}")
    if status.rival and system.now - (status.rival_at or 0) < RIVAL_SHOWN:
        other = f"but another installation reads {status.rival}"
        return Result(False, f"Redis holds the jobs of {ours}, {other}")
    return Result(True, f"Redis holds the jobs of {ours}")


def _check_registry(system: System) -> Result:
    found = Comparison(system.redis, system.settings, lambda: system.now).find().counts
    mended = sum(map(int, cast("dict[str, str]", system.redis.hgetall(keys.MENDED)).values()))
    texts = [
        f"{number_of(times, DIFFERENCES[kind][0])} {DIFFERENCES[kind][1]}"
        for kind, times in found.items()
    ]
    before = f"; {number_of(mended, 'difference')} mended in the last 7 days" if mended else ""
    return Result(not found, (", ".join(texts) or "Jobs, schedule and open ticks agree") + before)


def _check_beat(system: System) -> Result:
    if system.redis.exists(keys.LEADER_LOCK):
        return Result(True, "A beat is leading")
    return Result(False, "No beat is leading, so no job fires")


def _check_workers(_: System) -> Result:
    from cron_tasks.celery import app

    queues_by_worker = app.control.inspect(timeout=PATIENCE).active_queues() or {}
    if not queues_by_worker:
        return Result(False, "No worker is running")
    consumed = {queue["name"] for queues in queues_by_worker.values() for queue in queues}
    default, count = app.conf.task_default_queue, len(queues_by_worker)
    running = f"{number_of(count, 'worker')} {'is' if count == 1 else 'are'} running"
    queues = ", ".join(sorted(consumed)) or "none"
    if default not in consumed:
        return Result(False, f"{running}, but none consumes {default}; queues: {queues}")
    return Result(True, f"{running}; queues: {queues}")


def _check_queue(system: System) -> Result:
    settings, redis = system.settings, system.redis
    name, is_stream = settings.notify_queue, settings.notify_transport == "stream"
    length = int(redis.xlen(name) if is_stream else redis.llen(name))
    dropped = sum(map(int, cast("list[str]", redis.hvals(keys.DROPPED))))
    text = f"{none_or(length, 'notification')} in {name}"
    if length and not is_stream:
        oldest = json.loads(cast("str", redis.lindex(name, 0)) or "{}").get("created_at")
        age = system.now - datetime.fromisoformat(oldest).timestamp() if oldest else 0.0
        text += f", the oldest for {format_duration(age)}"
    if dropped:
        text += f"; {number_of(dropped, 'notification')} dropped because the queue was full"
    is_full = length > settings.notify_max * NEARLY_FULL
    return Result(not is_full and not dropped, text)


def _expect_none(
    count: Callable[[System], int], noun: str, about: str = ""
) -> Callable[[System], Result]:
    """Return a probe that finds all well if there is none: "No jobs overdue"."""

    def probe(system: System) -> Result:
        found = count(system)
        return Result(not found, f"{none_or(found, noun)} {about}".rstrip())

    return probe


_check_schedule = _expect_none(
    lambda s: s.redis.zcount(keys.SCHEDULE, 0, s.now - LATE), "job", "overdue"
)
_check_open_ticks = _expect_none(
    lambda s: s.redis.zcount(keys.DEADLINES, 0, s.now - LATE), "open tick", "past the deadline"
)
_check_rows = _expect_none(
    lambda s: s.redis.hlen(keys.REJECTED), "row", "rejected by the last sync"
)
_check_entries = _expect_none(lambda s: s.redis.hlen(keys.SET_ASIDE), "entry", "in quarantine")
_check_jobs = _expect_none(lambda s: s.redis.hlen(keys.FAILING), "job", "failed at the last run")
_check_messages = _expect_none(lambda s: s.redis.llen(keys.UNDELIVERABLE), "undeliverable message")

_REASONS = "`cron-tasks jobs rejected` shows the reasons"
_ASK_BEAT = "Beat processes them. Check that it is running, and read its log"
CHECKS: Mapping[str, Check] = {
    "redis": Check(_check_redis, "fail", "Use the primary of a Redis 6.2 or newer, or of a Valkey"),
    "redis eviction": Check(
        _check_eviction, "fail", "Run `CONFIG SET maxmemory-policy noeviction` in Redis"
    ),
    "redis persistence": Check(
        _check_persistence, "warn", "Run `CONFIG SET appendonly yes` in Redis"
    ),
    "clock": Check(_check_clock, "warn", "Synchronise the clocks by NTP"),
    "rest service": Check(
        _check_rest_service,
        "fail",
        f"The service did not return its list within {REST_PATIENCE['rest_deadline']:g} s. "
        "Current jobs stay unchanged",
    ),
    "last sync": Check(
        _check_last_sync,
        "fail",
        "Beat requests each sync and a worker runs it. Check that both are running",
    ),
    "rows": Check(_check_rows, "warn", _REASONS),
    "jobs": Check(_check_jobs, "warn", "`cron-tasks runs --status failed` lists the runs"),
    "owner": Check(
        _check_owner,
        "fail",
        "Give each installation its own database in CRON_TASKS_REDIS_URL. "
        "To take this one over, run `cron-tasks sync --force`",
    ),
    "registry": Check(
        _check_registry,
        "fail",
        "The leading beat mends this within seconds, or minutes if there are very many jobs. "
        "`cron-tasks sync` mends jobs at once",
    ),
    "beat": Check(
        _check_beat, "fail", "Start one with `celery -A cron_tasks beat`, or read its log"
    ),
    "schedule": Check(_check_schedule, "fail", _ASK_BEAT),
    "open ticks": Check(_check_open_ticks, "fail", _ASK_BEAT),
    "entries": Check(
        _check_entries, "fail", f"{_REASONS}. `cron-tasks sync` writes these entries again"
    ),
    "queue": Check(
        _check_queue,
        "warn",
        "Check that the bot is reading. Beyond CRON_TASKS_NOTIFY_MAX the oldest are dropped. "
        f"`DEL {keys.DROPPED}` resets the number of dropped ones",
    ),
    "messages": Check(
        _check_messages,
        "warn",
        "Their queue is a Redis key of another type. Rename that key. "
        f"`LRANGE {keys.UNDELIVERABLE} 0 9` shows the messages",
    ),
    "workers": Check(_check_workers, "fail", "Start one with `celery -A cron_tasks worker`"),
}
