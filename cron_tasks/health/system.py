"""The system that the checks look at, and what a check finds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from redis import Redis

from cron_tasks.settings import Settings
from cron_tasks.text.english import none_or

#: Seconds to wait for an answer from Redis, and from the workers.
PATIENCE = 2.0


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


def expect_none(
    count: Callable[[System], int], noun: str, about: str = ""
) -> Callable[[System], Result]:
    """Return a probe that finds all well if there is none: "No jobs overdue"."""

    def probe(system: System) -> Result:
        found = count(system)
        return Result(not found, f"{none_or(found, noun)} {about}".rstrip())

    return probe
