"""`cron-tasks doctor`: a table of checks, each with what to do if it does not hold."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, cast

import click
from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from cron_tasks.cli import console
from cron_tasks.errors import SettingsError
from cron_tasks.registry.plan import plan
from cron_tasks.registry.registry import Registry
from cron_tasks.repair.comparison import Comparison
from cron_tasks.rest.listing import Source
from cron_tasks.schedules.human import format_duration
from cron_tasks.settings import Settings, load
from cron_tasks.store import names
from cron_tasks.store.client import connect
from cron_tasks.sync.reconciler import Reconciler, make_policy
from cron_tasks.sync.state import RIVAL_SHOWN, load_status, service_of
from cron_tasks.text.display import printable

#: Seconds that doctor waits for an answer of Redis, and of workers.
PATIENCE = 2.0
#: Seconds that it waits at most for the REST service: one answer, and the whole list.
REST_PATIENCE = {"rest_timeout": 3.0, "rest_deadline": 5.0}
#: ZMSCORE came with Redis 6.2; every Valkey has it.
OLDEST = (6, 2)
#: Seconds that clocks may differ: ticks are named and judged by several machines' clocks.
SKEW = 2.0
#: Seconds by which a due entry or a tick's deadline may be late.
LATE = 30.0
#: The share of NOTIFY_MAX beyond which nobody seems to read a queue.
NEARLY_FULL = 0.8

#: What each kind of difference in the registry means.
DIFFERENCES = {
    "unscheduled": "jobs have a next tick but are not in the schedule",
    "unreadable": "jobs have no entry that can be read",
    "unlisted": "entries are not in the index of jobs",
    "untimed": "open ticks have no deadline",
    "leftovers": "notes belong to ticks that have ended",
}

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass
class System:
    """What is checked; `now` in seconds since the epoch. `reachable`: whether Redis answers."""

    settings: Settings
    redis: Redis
    now: float
    reachable: bool = True

    @cached_property
    def info(self) -> dict[str, Any]:
        return self.redis.info()


class Check(NamedTuple):
    """`probe` tells whether all is well, and what it found; `wrong` is the status if not."""

    probe: Callable[[System], tuple[bool, str]]
    wrong: str
    mend: str


class Finding(NamedTuple):
    """What a check found; `mend` says what to do unless the status is ok."""

    check: str
    status: str
    detail: str
    mend: str = ""


@click.command()
@console.json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check settings, Redis, REST service, beat, workers and clock, and say how to mend them.

    Exits 1 when a check failed; warnings alone do not count.
    """
    findings = []
    with console.no_log_lines():
        for finding in _examine():
            findings.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        console.print_json([finding._asdict() for finding in findings])
    if any(finding.status == "fail" for finding in findings):
        ctx.exit(1)


def _print(finding: Finding) -> None:
    status = click.style(f"{finding.status:<4}", fg=_COLOURS[finding.status])
    click.echo(f"{status}  {finding.check:<17}  {printable(finding.detail, 500)}")
    if finding.mend:
        click.secho(f"{'':<25}{finding.mend}", dim=True)


def _examine() -> Iterator[Finding]:
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding("settings", "fail", line)
        return
    for warning in settings.warnings:
        yield Finding("settings", "warn", warning, "correct its name, or remove it")
    if not settings.warnings:
        yield Finding("settings", "ok", "valid")
    with connect(settings.redis_url.get_secret_value(), timeout=PATIENCE, retries=0) as redis:
        system = System(settings, redis, time.time())
        for name in CHECKS:
            if system.reachable or name == "rest service":
                yield examine(name, system)


def examine(name: str, system: System) -> Finding:
    """Make one check. What it raises is its own failure, unless all Redis is out of reach."""
    probe, wrong, mend = CHECKS[name]
    try:
        sound, detail = probe(system)
    except Exception as error:
        if (text := console.sentence(error)) is None:
            raise
        if isinstance(error, ConnectionError | TimeoutError):
            system.reachable, mend = False, "start Redis; what depends on it was not checked"
        return Finding(name, "fail", text, mend)
    return Finding(name, "ok", detail) if sound else Finding(name, wrong, detail, mend)


def _version(system: System) -> tuple[bool, str]:
    info = system.info
    name = "Valkey" if "valkey_version" in info else "Redis"
    number = str(info.get("valkey_version") or info.get("redis_version", "0"))
    new = name == "Valkey" or tuple(map(int, number.split(".")[:2])) >= OLDEST
    replica = info.get("role") == "slave"
    kind = ", a read-only replica" if replica else ""
    return new and not replica, f"{name} {number} at {system.settings.masked_redis_url}{kind}"


def _eviction(system: System) -> tuple[bool, str]:
    policy = str(system.info.get("maxmemory_policy"))
    if policy == "noeviction":
        return True, policy
    return False, f"{policy}: when memory is short, Redis throws away jobs and runs"


def _persistence(system: System) -> tuple[bool, str]:
    if not system.info.get("aof_enabled"):
        return False, "AOF is off: a restart of Redis loses what came after its last snapshot"
    written = system.info.get("aof_last_write_status", "ok") == "ok"
    return written, "AOF is on" if written else "AOF is on, but its last write failed: disk full?"


def _clock(system: System) -> tuple[bool, str]:
    seconds, microseconds = system.redis.time()
    off = seconds + microseconds / 1e6 - time.time()
    apart = f"is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'}"
    said = "agrees with" if abs(off) < 0.1 else apart
    return abs(off) <= SKEW, f"that of Redis {said} this machine's"


def _rest_service(system: System) -> tuple[bool, str]:
    settings = system.settings
    settings.require("rest_url")
    hurried = settings.model_copy(
        update={name: min(most, getattr(settings, name)) for name, most in REST_PATIENCE.items()}
    )
    current = Registry(system.redis).fingerprints() if system.reachable else {}
    with Source(hurried).open_list(None) as listing:
        found = plan(current, listing, make_policy(settings))
    rows = found.unchanged + len(found.candidates) + len(found.rejected)
    return not found.refusal, f"{rows:,} rows" + (f"; {found.refusal}" if found.refusal else "")


def _last_sync(system: System) -> tuple[bool, str]:
    status = Reconciler(system.redis, system.settings).status()
    if status.state is None:
        return False, "there was none yet"
    if status.state != "ok":
        lasting = format_duration(system.now - (status.since or system.now))
        return False, f"{status.state} for {lasting}: {status.detail}"
    age = system.now - (status.last_success or 0)
    return age <= 3 * system.settings.sync_interval + 10, f"succeeded {format_duration(age)} ago"


def _owner(system: System) -> tuple[bool, str]:
    status = load_status(system.redis)
    system.settings.require("rest_url")
    ours = service_of(system.settings)
    if status.owner not in (None, ours):
        return False, f"it holds the jobs of {status.owner}, and this installation reads {ours}"
    if status.rival and system.now - (status.rival_at or 0) < RIVAL_SHOWN:
        return False, f"it holds the jobs of {ours}, and another installation reads {status.rival}"
    return True, f"it holds the jobs of {ours}"


def _registry(system: System) -> tuple[bool, str]:
    found = Comparison(system.redis, system.settings, lambda: system.now).find().counts
    mended = cast("dict[str, str]", system.redis.hgetall(names.MENDED))
    said = ", ".join(f"{times:,} {DIFFERENCES[kind]}" for kind, times in found.items())
    times = sum(map(int, mended.values()))
    before = f"; {times:,} differences were mended in the last 7 days" if times else ""
    return not found, (said or "jobs, schedule and open ticks agree") + before


def _beat(system: System) -> tuple[bool, str]:
    leads = bool(system.redis.exists(names.LEADER_LOCK))
    return leads, "one leads" if leads else "none leads, so nothing fires"


def _workers(_: System) -> tuple[bool, str]:
    from cron_tasks.celery import app

    answers = app.control.inspect(timeout=PATIENCE).active_queues() or {}
    consumed = {queue["name"] for queues in answers.values() for queue in queues}
    names = ", ".join(sorted(consumed)) or "nothing"
    return app.conf.task_default_queue in consumed, f"{len(answers)} answered, consuming {names}"


def _queue(system: System) -> tuple[bool, str]:
    settings, redis = system.settings, system.redis
    name, stream = settings.notify_queue, settings.notify_transport == "stream"
    length = int(redis.xlen(name) if stream else redis.llen(name))
    dropped = sum(map(int, cast("list[str]", redis.hvals(names.DROPPED))))
    said = f"{length:,} wait in {name}"
    if length and not stream:
        oldest = json.loads(cast("str", redis.lindex(name, 0)) or "{}").get("created_at")
        age = system.now - datetime.fromisoformat(oldest).timestamp() if oldest else 0.0
        said += f", the oldest for {format_duration(age)}"
    full = length > settings.notify_max * NEARLY_FULL
    return not full and not dropped, said + f"; {dropped:,} were dropped" * bool(dropped)


def _none(count: Callable[[System], int], what: str) -> Callable[[System], tuple[bool, str]]:
    def probe(system: System) -> tuple[bool, str]:
        found = count(system)
        return not found, f"{found:,} {what}"

    return probe


_overdue = _none(lambda s: s.redis.zcount(names.SCHEDULE, 0, s.now - LATE), "overdue")
_late = _none(lambda s: s.redis.zcount(names.DEADLINES, 0, s.now - LATE), "past their deadline")
_rejected = _none(lambda s: s.redis.hlen(names.REJECTED), "rejected by the last sync")
_set_aside = _none(lambda s: s.redis.hlen(names.SET_ASIDE), "set aside because beat cannot read it")
_failing = _none(lambda s: s.redis.hlen(names.FAILING), "failed at their last run")
_refused = _none(lambda s: s.redis.llen(names.UNDELIVERABLE), "whose queue is of another type")

_REASONS = "`cron-tasks jobs rejected` gives the reasons"
_ASK_BEAT = "beat looks after them: is it running, and what does its log say?"
CHECKS: Mapping[str, Check] = {
    "redis": Check(_version, "fail", "use the primary of a Redis 6.2 or newer, or a Valkey"),
    "redis eviction": Check(_eviction, "fail", "`CONFIG SET maxmemory-policy noeviction`"),
    "redis persistence": Check(_persistence, "warn", "`CONFIG SET appendonly yes`"),
    "clock": Check(_clock, "warn", "synchronise the clocks by NTP"),
    "rest service": Check(
        _rest_service,
        "fail",
        "until it answers with its list, within 5 s here, all jobs stay as they are; "
        "if an odd list is right, `cron-tasks sync --force` takes it",
    ),
    "last sync": Check(
        _last_sync, "fail", "beat asks for it and a worker does it: are both running?"
    ),
    "rows": Check(_rejected, "warn", _REASONS),
    "jobs": Check(_failing, "warn", "`cron-tasks runs --status failed` lists the runs"),
    "owner": Check(
        _owner,
        "fail",
        "give each installation its own database in CRON_TASKS_REDIS_URL; "
        "`cron-tasks sync --force` takes this one over",
    ),
    "registry": Check(
        _registry,
        "fail",
        "a beat that leads mends this within seconds, or minutes if there are very many jobs; "
        "`cron-tasks sync` mends jobs at once",
    ),
    "beat": Check(_beat, "fail", "start one: `celery -A cron_tasks beat`, or read its log"),
    "schedule": Check(_overdue, "fail", _ASK_BEAT),
    "open ticks": Check(_late, "fail", _ASK_BEAT),
    "entries": Check(_set_aside, "fail", f"{_REASONS}; `cron-tasks sync` writes them anew"),
    "queue": Check(
        _queue,
        "warn",
        "is the bot reading? Beyond CRON_TASKS_NOTIFY_MAX the oldest are dropped; "
        f"`DEL {names.DROPPED}` forgets their number",
    ),
    "messages": Check(_refused, "warn", f"rename that key; `LRANGE {names.UNDELIVERABLE} 0 9`"),
    "workers": Check(_workers, "fail", "start one: `celery -A cron_tasks worker`"),
}
