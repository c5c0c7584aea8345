"""Redis itself: version, role, eviction, persistence, memory, clock."""

import time
from typing import Any

from cron_tasks.cli.checks import Finding, System, fail, ok, warn

#: ZMSCORE came with Redis 6.2; every Valkey has it.
OLDEST = (6, 2)
#: Seconds that clocks may differ: ticks are named and judged by several machines' clocks.
SKEW = 2.0
#: Share of `maxmemory` from which there is a warning.
FULL = 0.85


def _info(system: System) -> dict[str, Any]:
    return system.redis.info()


def version(system: System) -> Finding:
    info = _info(system)
    name = "Valkey" if "valkey_version" in info else "Redis"
    number = str(info.get("valkey_version") or info.get("redis_version", "0"))
    found = f"{name} {number} at {system.settings.masked_redis_url}"
    if name == "Redis" and tuple(map(int, number.split(".")[:2])) < OLDEST:
        return fail(f"{found} is too old", "use Redis 6.2 or newer, or Valkey")
    if info.get("role") == "slave":
        return fail(f"{found} is a read-only replica", "let CRON_TASKS_REDIS_URL name the primary")
    return ok(found)


def eviction(system: System) -> Finding:
    policy = _info(system).get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return ok("noeviction")
    return fail(
        f"{policy}: when memory is short, Redis throws away jobs and runs",
        "`CONFIG SET maxmemory-policy noeviction`, and the same in its configuration file",
    )


def persistence(system: System) -> Finding:
    info = _info(system)
    if not info.get("aof_enabled"):
        return warn(
            "AOF is off: a restart of Redis loses the ticks and runs since its last snapshot",
            "`CONFIG SET appendonly yes`, and the same in its configuration file",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return fail("AOF is on, but its last write failed", "is the disk of Redis full?")
    return ok("AOF is on")


def memory(system: System) -> Finding:
    info = _info(system)
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    text = f"{info.get('used_memory_human')} of {info.get('maxmemory_human')}"
    if not most:
        return ok(f"{info.get('used_memory_human')}, no limit")
    if used > FULL * most:
        return warn(f"{text}: when it is full, nothing can be written", "raise `maxmemory`")
    return ok(text)


def clock(system: System) -> Finding:
    before = time.time()
    seconds, microseconds = system.redis.time()
    after = time.time()
    there = seconds + microseconds / 1e6
    off = there - min(max(there, before), after)
    if abs(off) <= SKEW:
        return ok("this machine and Redis agree")
    behind = "behind" if off > 0 else "ahead of"
    return warn(
        f"this machine is {abs(off):.1f} s {behind} Redis, so ticks fire early or late",
        "synchronise the clocks by NTP",
    )
