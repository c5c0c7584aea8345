"""Check Redis itself: its version, its settings and its clock."""

import time

from cron_tasks.health.system import Result, System

#: ZMSCORE came with Redis 6.2. Every Valkey has it.
OLDEST_REDIS = (6, 2)
#: Seconds that clocks may differ: the clocks of several machines name and judge ticks.
SKEW = 2.0


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
        return Result(False, "AOF is off: a restart of Redis loses all since its last snapshot")
    if system.info.get("aof_last_write_status", "ok") != "ok":
        disk = "Check that the disk of Redis is not full"
        return Result(False, "AOF is on, but its last write failed", disk)
    return Result(True, "AOF is on")


def check_clock(system: System) -> Result:
    seconds, microseconds = system.redis.time()
    off = seconds + microseconds / 1e6 - time.time()
    apart = f"is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'}"
    relation = "agrees with" if abs(off) < 0.1 else apart
    return Result(abs(off) <= SKEW, f"The clock of Redis {relation} the clock of this machine")
