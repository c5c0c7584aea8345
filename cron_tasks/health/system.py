"""The system to check, and the result of a check."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

from redis import Redis

from cron_tasks.broker.presence import list_workers
from cron_tasks.health.needs import Needs, read_needs
from cron_tasks.health.workers import Worker, ask_workers
from cron_tasks.settings import Settings
from cron_tasks.text.english import none_or

#: Seconds to wait for an answer from Redis.
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
    _needs: Future[Needs] | None = None
    _survey: Future[list[Worker]] | None = None

    @cached_property
    def info(self) -> dict[str, Any]:
        return self.redis.info()

    @property
    def needs(self) -> Needs:
        if self._needs is None:
            self.begin_survey()
        return cast("Future[Needs]", self._needs).result()

    def begin_survey(self) -> None:
        """Read the jobs and ask the workers in threads, while other checks wait for Redis and the
        REST service."""
        present = list_workers(self.redis, time.time())
        threads = ThreadPoolExecutor(2, "survey")
        self._needs = threads.submit(read_needs, self.redis, self.settings)
        self._survey = threads.submit(
            ask_workers, present, lambda: self.needs.worker_queues(self.settings)
        )

    @property
    def workers(self) -> list[Worker]:
        if self._survey is None:
            self.begin_survey()
        return cast("Future[list[Worker]]", self._survey).result()

    @property
    def queues_of_our_workers(self) -> set[str]:
        return {queue for worker in self.workers if worker.is_ours for queue in worker.queues}


class Result(NamedTuple):
    """The result of a probe. `mend` replaces the advice of its check."""

    is_ok: bool
    detail: str
    mend: str = ""


class Check(NamedTuple):
    """A probe, its status if it finds a problem ("warn" or "fail"), and advice for that case."""

    probe: Callable[[System], Result]
    wrong: str
    mend: str


class Finding(NamedTuple):
    """The result of a check. `mend` is advice on how to fix the problem, "" if there is none."""

    check: str
    status: str
    detail: str
    mend: str = ""


def expect_none(
    count: Callable[[System], int], noun: str, about: str = ""
) -> Callable[[System], Result]:
    """Return a probe that finds a problem unless the count is 0: "No jobs overdue"."""

    def probe(system: System) -> Result:
        found = count(system)
        return Result(not found, f"{none_or(found, noun)} {about}".rstrip())

    return probe
