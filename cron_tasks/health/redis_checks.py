"""Check Redis itself: its version, its settings and its clock."""

import re
import time
from typing import Any, cast

from redis.exceptions import NoPermissionError, ResponseError

from cron_tasks.health.system import Result, System
from cron_tasks.store import keys
from cron_tasks.store.client import LONGEST_VALUE
from cron_tasks.text.display import printable

#: ZMSCORE came with Redis 6.2. Every Valkey has it.
OLDEST_REDIS = (6, 2)
#: Seconds that clocks may differ. Several machines compare fire times with their clocks.
SKEW = 2.0
#: Commands without effect, one for each kind of value that we store.
READING = ("LLEN", "HLEN", "ZCARD", "SCARD", "XLEN", "GET", "TTL")


def check_redis(system: System) -> Result:
    info = system.info
    name = "Valkey" if "valkey_version" in info else "Redis"
    number = str(info.get("valkey_version") or info.get("redis_version", "0"))
    is_new = name == "Valkey" or tuple(map(int, number.split(".")[:2])) >= OLDEST_REDIS
    is_replica = info.get("role") == "slave"
    kind = ", a read-only replica" if is_replica else ""
    where = f"{name} {number} at {system.settings.masked_redis_url}"
    return Result(is_new and not is_replica, where + kind)


def check_eviction(system: System) -> Result:
    policy = str(system.info.get("maxmemory_policy"))
    if policy == "noeviction":
        return Result(True, policy)
    return Result(False, f"{policy}: Redis deletes jobs and runs when its memory is full")


def check_persistence(system: System) -> Result:
    if not system.info.get("aof_enabled"):
        return Result(
            False, "AOF is off: a restart of Redis loses everything since its last snapshot"
        )
    if system.info.get("aof_last_write_status", "ok") != "ok":
        disk = "Check that the disk of Redis is not full"
        return Result(False, "AOF is on, but its last write failed", disk)
    return Result(True, "AOF is on")


def check_memory(system: System) -> Result:
    """Check that Redis stores a short hash, such as a job, in one piece."""
    try:
        # Redis 6.2 calls it hash-max-ziplist-value. Later versions have both names.
        found = cast("dict[str, str]", system.redis.config_get("hash-max-*-value"))
    except ResponseError:
        found = {}  # Managed services do not allow CONFIG.
    if not found:
        return Result(True, "Redis does not show how it stores hashes")
    name, value = max(found.items(), key=lambda item: (int(item[1]), "listpack" in item[0]))
    if int(value) >= LONGEST_VALUE:
        return Result(True, f"{name} is {value}")
    mend = f"Run `CONFIG SET {name} {LONGEST_VALUE}` in Redis, and set it in its configuration. "
    mend += "It affects jobs that are written afterwards"
    return Result(False, f"{name} is {value}: a job takes 910 bytes instead of 700", mend)


def check_clock(system: System) -> Result:
    seconds, microseconds = system.redis.time()
    off = seconds + microseconds / 1e6 - time.time()
    apart = f"is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'}"
    relation = "agrees with" if abs(off) < 0.1 else apart
    return Result(abs(off) <= SKEW, f"The clock of Redis {relation} the clock of this machine")


def check_rights(system: System) -> Result:
    """Find the commands and the keys that Redis denies to our user, by calls without effect.

    Redis names a command that it denies, but not a key. So each kind of key has a separate call.
    """
    unused = ["cron_tasks:probe", "redbeat:probe", "_kombu.probe", "unacked_probe"]
    unused.append(f"probe.celery{keys.CELERY_CONTROL}")
    queues = (system.settings.notify_queue, system.settings.default_queue)
    calls: list[tuple[Any, ...]] = [("PERSIST", key) for key in unused]
    calls += [("EXISTS", key) for key in (*queues, queues[0] + keys.BOT_DEAD)]
    calls += [(name, unused[0]) for name in READING]
    calls += [("EVAL", "return 1", 0), ("SCRIPT", "EXISTS", "0" * 40), ("INFO", "server")]
    calls += [("PUBLISH", unused[0], "")]
    with system.redis.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command(*call)
        answers = pipe.execute(raise_on_error=False)
    denied = [
        _name_denied(call, str(answer))
        for call, answer in zip(calls, answers, strict=True)
        if isinstance(answer, NoPermissionError)
    ]
    texts = list(dict.fromkeys(denied))
    return Result(not texts, ", ".join(texts) or "The user of Redis has the rights it needs")


def _name_denied(call: tuple[Any, ...], error: str) -> str:
    """Return the command or the key that Redis denied."""
    if command := re.search(r"'([^']+)' command", error):
        return f"command {printable(command[1].upper(), 100)} is denied"
    what = "channel" if call[0] == "PUBLISH" else "key"
    return f"{what} {printable(str(call[1]), 100)} is denied"
