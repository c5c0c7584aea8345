"""Judge whether the system, or one part of it, is healthy.

`read_facts` reads everything in one round trip. The judges are pure.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from redis import Redis

from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of
from cron_tasks.vitals.signs import Sign, parse_signs

#: Seconds by which a due entry or the deadline of an open run may be late.
LATE = 30.0
#: Seconds for which another installation that tried to sync is shown.
RIVAL_SHOWN = 600.0


class Verdict(NamedTuple):
    """Whether a part is healthy, and why, as one line."""

    is_healthy: bool
    detail: str


class Facts(NamedTuple):
    """The state in Redis at `now` (seconds since the epoch).

    `has_leader` is whether a beat holds the lock. `overdue` and `unattended` are the numbers of
    entries and open runs that were not handled in time, and `set_aside` is the number of entries in
    quarantine. `workers` is the number of present workers. `source` is the outcome of the last
    sync.
    """

    now: float
    has_leader: bool
    overdue: int
    unattended: int
    set_aside: int
    workers: int
    source: Mapping[str, str | None]
    signs: list[Sign]


_SOURCE = ("state", "detail", "since", "last_success")


def read_facts(redis: Redis, now: float) -> Facts:
    """Read the facts in one round trip. Raises RedisError."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.exists(keys.LEADER_LOCK)
        pipe.zcount(keys.SCHEDULE, 0, now - LATE)
        pipe.zcount(keys.DEADLINES, 0, now - LATE)
        pipe.hlen(keys.SET_ASIDE)
        pipe.zcount(keys.WORKERS, now, "+inf")
        pipe.hmget(keys.SOURCE, _SOURCE)
        pipe.zrange(keys.SIGNS, 0, -1, withscores=True)
        leader, overdue, unattended, set_aside, workers, source, signs = pipe.execute()
    named = dict(zip(_SOURCE, source, strict=True))
    counts = overdue, unattended, set_aside, workers
    return Facts(now, bool(leader), *counts, named, parse_signs(signs))


def judge_system(facts: Facts, sync_interval: float) -> Verdict:
    """Judge the whole system: everything fires, workers are present, and the list is fresh."""
    faults = [*_find_firing_faults(facts)]
    if not facts.has_leader:
        faults.insert(0, "No beat leads, so no job fires")
    if facts.set_aside:
        faults.append(f"{number_of(facts.set_aside, 'entry')} in quarantine")
    if not facts.workers:
        faults.append("No worker is present")
    sync = judge_sync(facts.source, facts.now, sync_interval)
    if not sync.is_healthy:
        faults.append(f"Sync: {sync.detail}")
    present = number_of(facts.workers, "worker")
    return _conclude(faults, f"Everything fires, {present} present. {sync.detail}")


def judge_sync(source: Mapping[str, Any], now: float, sync_interval: float) -> Verdict:
    """Judge the last sync: it succeeded, at most three intervals ago.

    `source` has `state`, `detail`, `since` and `last_success` as `cron_tasks:source` holds them.
    """
    state = source["state"]
    if not state:
        return Verdict(False, "No sync has run yet")
    if state != "ok":
        lasting = format_duration(now - float(source["since"] or now))
        return Verdict(False, f"{state} for {lasting}: {source['detail'] or ''}")
    age = now - float(source["last_success"] or 0)
    is_recent = age <= 3 * sync_interval + 10
    return Verdict(is_recent, f"The last sync succeeded {format_duration(age)} ago")


def judge_beat(facts: Facts, host: str) -> Verdict:
    """Judge the beats of a host: each of them works, and the one that leads fires what is due.

    A beat that stands by is healthy.
    """
    ours = _of_host(facts, "beat", host)
    if not ours:
        return Verdict(False, f"No beat runs on this host ({printable(host, 100)})")
    faults = [*_find_silent(ours, facts.now)]
    leaders = [sign for sign in facts.signs if sign.part == "leader"]
    leader = max(leaders, key=lambda sign: sign.at, default=None)
    leads = leader is not None and leader.is_fresh(facts.now) and leader in _as_leaders(ours)
    if leads:
        faults += _find_firing_faults(facts)
    return _conclude(faults, "This host's beat leads" if leads else "This host's beat stands by")


def judge_worker(facts: Facts, host: str) -> Verdict:
    """Judge the workers of a host: the main process of each works and has the broker."""
    ours = _of_host(facts, "worker", host)
    if not ours:
        return Verdict(False, f"No worker runs on this host ({printable(host, 100)})")
    count = len(ours)
    is_are = "is" if count == 1 else "are"
    detail = f"{number_of(count, 'worker')} of this host {is_are} working"
    return _conclude([*_find_silent(ours, facts.now)], detail)


def _conclude(faults: list[str], otherwise: str) -> Verdict:
    return Verdict(not faults, "; ".join(faults) or otherwise)


def _find_firing_faults(facts: Facts) -> Iterable[str]:
    late = format_duration(LATE)
    if facts.overdue:
        yield f"{number_of(facts.overdue, 'job')} should have fired more than {late} ago"
    if facts.unattended:
        yield f"{number_of(facts.unattended, 'run')} past the deadline for more than {late}"


def _find_silent(signs: Iterable[Sign], now: float) -> Iterable[str]:
    for sign in signs:
        if not sign.is_fresh(now):
            silent = format_duration(now - sign.at)
            yield f"The {sign.part} with process id {sign.pid} has not worked for {silent}"


def _as_leaders(signs: Iterable[Sign]) -> list[Sign]:
    return [sign._replace(part="leader") for sign in signs]


def _of_host(facts: Facts, part: str, host: str) -> list[Sign]:
    """Return the signs of the living processes of a host."""
    of_part = (sign for sign in facts.signs if (sign.part, sign.host) == (part, host))
    return [sign for sign in of_part if _is_alive(sign.pid)]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Return whether a process has ended, and its parent has not yet read its exit code."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except OSError:  # There is no /proc.
        return False
    return state in (b"Z", b"X")
