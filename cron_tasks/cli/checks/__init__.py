"""What `cron-tasks doctor` looks at, one function a check; each says what it found and how to mend.

A check may raise: doctor turns what could be foreseen into a failure of that check alone.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from redis import Redis

from cron_tasks.registry import Registry
from cron_tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `mend` says what to do about a `warn` or a `fail`."""

    status: Literal["ok", "warn", "fail"]
    detail: str
    mend: str = ""


def ok(detail: str) -> Finding:
    return Finding("ok", detail)


def warn(detail: str, mend: str) -> Finding:
    return Finding("warn", detail, mend)


def fail(detail: str, mend: str = "") -> Finding:
    return Finding("fail", detail, mend)


@dataclass(slots=True)
class Census:
    """What the enabled jobs need: Celery queues (None: the default one), and a recipient."""

    queues: set[str | None] = field(default_factory=set)
    without_recipient: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass
class System:
    """What is checked; `now` in seconds since the epoch. `reachable`: whether Redis answers."""

    settings: Settings
    redis: Redis
    now: float
    reachable: bool = True

    @cached_property
    def census(self) -> Census:
        found = Census()
        unreadable = found.unreadable
        for registered in Registry(self.redis).registered(
            unreadable=lambda job_id, _: unreadable.append(job_id)
        ):
            job = registered.job
            if job.enabled:
                found.queues.add(job.queue)
                if job.chat_id is None and job.notify.on:
                    found.without_recipient.append(job.id)
        return found


def listed(items: list[str]) -> str:
    """`7, 8, 9, 10, 11 and 4 more`"""
    more = f" and {len(items) - 5:,} more" if len(items) > 5 else ""
    return ", ".join(items[:5]) + more
