"""Beat's scheduler in this process, on a clock that moves only when a test moves it.

The code is beat's own, with a real Redis. Minutes pass in moments.
"""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from applying import apply
from celery import Celery as App
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.batches import read_batched
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.settings import Settings
from cron_tasks.store import keys


@dataclass
class Clock:
    now: float = field(default_factory=lambda: float(int(time.time())))

    def __call__(self) -> float:
        return self.now


@dataclass
class Beat:
    """A leading scheduler, and its effects."""

    redis: Redis
    scheduler: Any
    clock: Clock

    def tick(self) -> None:
        """Make one turn, without the wait at its end."""
        self.redis.lpush(keys.WAKE, "now")
        self.scheduler.tick()
        self.redis.delete(keys.WAKE)

    def run(self, seconds: int) -> dict[str, list[float]]:
        """Make this many turns, a second apart. Return the ticks that were open afterwards."""
        for _ in range(seconds):
            self.clock.now += 1
            self.tick()
        return self.fired()

    def register(self, *rows: dict[str, Any]) -> None:
        added = []
        for row in rows:
            job = validate_row(row, timezone="UTC")
            assert isinstance(job, Job)
            added.append(Desired(job, "fingerprint"))
        apply(self.redis, Changes(added=added), self.clock.now)

    def due(self) -> list[str]:
        return list(self.redis.zrangebyscore(keys.SCHEDULE, 0, self.clock.now))

    def fired(self) -> dict[str, list[float]]:
        """Remove the ticks that wait in the ledger, and return them by job, in order."""
        found: dict[str, list[float]] = {}
        for run_id in sorted({*map(RunId.stored, self.redis.hkeys(keys.OPEN)), *self.batched()}):
            found.setdefault(run_id.job_id, []).append(run_id.scheduled_for)
        self.redis.delete(keys.OPEN, keys.BATCHES, keys.DEADLINES, keys.BEFORE)
        return found

    def batched(self) -> list[RunId]:
        """Return the runs that are open in batches."""
        return list(read_batched(self.redis))

    def messages(self) -> list[str]:
        """Return the run ids with a separate message in Celery's queue."""
        rows = self.redis.lrange("cron_tasks", 0, -1)
        ids = [json.loads(message)["headers"]["id"] for message in rows]
        return [run_id for run_id in ids if RunId.parse(run_id)]


@contextmanager
def driven_beat(redis: Redis, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beat]:
    monkeypatch.setenv("CRON_TASKS_REDIS_URL", url)
    from cron_tasks import celery
    from cron_tasks.beat import pokes, scheduler

    settings = Settings(
        redis_url=url, rest_url="http://127.0.0.1:9", chat_id="1", history_runs=1000
    )
    monkeypatch.setattr(scheduler, "settings", settings)
    app = App("test", set_as_current=False)
    app.conf.update(celery.make_configuration(settings))
    # The first turn requests a sync, after which beat would ignore pokes for a second.
    monkeypatch.setattr(pokes, "SYNC_EVERY", 0.02)
    # On a busy machine, more time passes between two turns than on this clock.
    monkeypatch.setattr("cron_tasks.beat.clock.STEP", 300.0)
    # A test that waits for its processor does not lose the lead in the middle of a turn.
    monkeypatch.setattr(scheduler, "LEADER_TTL", 600)
    scheduler, clock = scheduler.Scheduler(app, lazy=True), Clock()
    scheduler.clock = clock
    driven = Beat(redis, scheduler, clock)
    # The sync that it asks for takes the note in WAKE, which ends the waits of later turns.
    longest, scheduler._longest_wait = scheduler._longest_wait, 0.0
    driven.tick()
    scheduler._longest_wait = longest
    time.sleep(pokes.SYNC_EVERY)
    # By the real clock. Tests that need a comparison start it themselves.
    scheduler._compare_at = math.inf
    yield driven
    scheduler.close()
    # Their last turns write nothing into the Redis of the next test.
    for each in scheduler._beside:
        each._thread.join()
    scheduler.redis.close()
    app.close()
