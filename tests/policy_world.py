"""A world of jobs without processes: the real beat, ledger, registry and workers, on one clock.

It performs the actions of people, services and outages, and keeps two logs of its own: the calls
that the service saw, and the schedules over time. Nothing in it reads the outputs of commands.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from applying import apply
from driven import Beat, driven_beat
from policy_known import Known
from policy_service import install
from policy_workers import PERMISSIONS, QUEUE, SETTINGS, START, Workers
from redis import Redis

from cron_tasks.audit import backfill
from cron_tasks.audit.backfill import Backfill
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.ledger import PATIENCE
from cron_tasks.ledger.records import Overtaken
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.tick import Due
from cron_tasks.registry import skips
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.runs import commands
from cron_tasks.runs.overtaken import list_overtaken
from cron_tasks.store import keys


class World(Workers):
    """The whole world."""

    def __init__(self, redis: Redis, beat: Beat) -> None:
        super().__init__(redis, beat)
        self.backfills: list[tuple[Job, Backfill, list[str]]] = []

    def runs_out(self) -> None:
        """Let all open runs come to their end."""
        for _ in range(300):
            self.tick()
            self.works_off()
            self.go_on()
            if not self.opened() and not self.backfills and not self.redis.exists(QUEUE):
                return
            self.clock.now = self._upcoming()
        raise AssertionError(f"open for ever: {self.opened()}")

    def ended(self) -> list[str]:
        """Return the runs that could be rerun: those that began, and those that should have
        begun."""
        last = {name for name, _ in self.redis.zrange(keys.FAILED, 0, -1, withscores=True)}
        expected = {
            RunId(job_id, tick)
            for job_id, job in self.jobs.items()
            for tick in job.expected(self.clock.now)
        }
        return sorted((last | expected | self.asked.keys()) - self.opened().keys())

    # People

    def send(self, job_id: str, name: str) -> None:
        self.beat.scheduler._publisher.send_ticks([Due(name, job_id, {}, False)])

    def pause(self, job_id: str) -> None:
        overtaken = self.registry.pause(job_id, "stocktaking", self.clock.now)
        self._tell(overtaken, "paused")
        self.ledger.look_after({job_id}, self.clock.now)
        self.jobs[job_id].paused = True
        self.jobs[job_id].retime(self.clock.now)

    def resume(self, job_id: str) -> None:
        self.registry.resume(job_id, self.clock.now)
        self.jobs[job_id].paused = False
        self.jobs[job_id].retime(self.clock.now)

    def run(self, job_id: str) -> str:
        if (job_id, self.clock.now) in self.pressed:
            return ""  # Two people act within a millisecond.
        self.pressed.add((job_id, self.clock.now))
        name = commands.open_by_hand(self.ledger, self.registry.get_job(job_id), self.clock.now)
        if name not in self.asked:
            self.asked[name] = self.clock.now
            self.send(job_id, name)
        return name

    def cancel(self, name: str) -> None:
        commands.cancel(self.redis, self.ledger, name, self.clock.now, SETTINGS)
        self.cancelled.add(name)

    def retry(self, name: str) -> None:
        self._a_moment_passes()
        try:
            commands.reopen(self.redis, self.ledger, name, self.clock.now)
        except RunUnfit:
            return
        self._again(name, "ended")
        self.send(RunId.stored(name).job_id, name)

    def _a_moment_passes(self) -> None:
        """Let time pass before a rerun, because messages of its ends differ by their time."""
        self.passes(1, beat=False)

    def _again(self, name: str, ended: str | None) -> None:
        """Record that a person opened a run that has ended before or has never run."""
        if ended:
            self.repeated.add(name)
        self.asked[name] = self.clock.now
        self.rounds[name] = self.rounds.get(name, 0) + 1
        self.cancelled.discard(name)

    def backfill(self, job_id: str, seconds: float) -> None:
        """Run a backfill like the command: all at once, or one after the other while it waits."""
        self._a_moment_passes()
        job, now = self.registry.get_job(job_id), self.clock.now
        found = backfill.plan_backfill(self.redis, job, now - seconds, now, now)
        if backfill.must_run_in_turn(job):
            self.backfills.append((job, found, ["", *found.missing]))
            self.go_on()
        else:
            for name in found.open_all(self.ledger, now):
                self._again(name, found.missing[name])

    def go_on(self) -> None:
        """Continue the backfills: each opens its next run once the previous one has ended."""
        for job, found, left in self.backfills:
            while left and not self.redis.hexists(keys.OPEN, left[0]):
                left.pop(0)
                if left:
                    self._go_on(job, found, left[0])
        self.backfills = [each for each in self.backfills if each[2]]

    def _go_on(self, job: Job, found: Backfill, name: str) -> None:
        if found.missing[name]:
            self._a_moment_passes()
        now = self.clock.now
        missing = found.is_still_missing(self.redis, job, name, now)
        if missing and found.open_some(self.ledger, [name], now + PATIENCE):
            self._again(name, found.missing[name])
            self.send(job.id, name)

    def skip_next(self, job_id: str) -> None:
        (job,) = self.registry.read_jobs([job_id])
        rests = self.jobs[job_id].rests
        if not rests and job.next is not None:
            skips.add_skip(self.redis, job_id, job.next, self.clock.now)

    # The REST service

    def add(self, row: dict[str, Any]) -> None:
        self.jobs[row["id"]] = Known(row)
        self._sync(row["id"], added=[self._desired(row)])

    def edit(self, job_id: str, **fields: Any) -> None:
        job = self.jobs[job_id]
        job.row = job.row | fields
        self._sync(job_id, changed=[self._desired(job.row)])

    def remove(self, job_id: str) -> None:
        job = self.jobs[job_id]
        job.listed, job.paused = False, False
        job.removed.append(self.clock.now)
        self._sync(job_id, removed=[job_id])
        self.ledger.let_go({job_id})

    def comes_back(self, job_id: str) -> None:
        self.jobs[job_id].listed = True
        self._sync(job_id, added=[self._desired(self.jobs[job_id].row)])

    def _sync(self, job_id: str, **changes: Any) -> None:
        apply(self.redis, Changes(**changes), self.clock.now, self._tell)
        self.jobs[job_id].retime(self.clock.now)

    def _tell(self, overtaken: list[Overtaken], reason: str) -> None:
        list_overtaken(self.ledger, SETTINGS, overtaken, reason, self.clock.now)

    def _desired(self, row: Mapping[str, Any]) -> Desired:
        job = validate_row(dict(row), timezone="UTC", permissions=PERMISSIONS)
        assert isinstance(job, Job), job
        return Desired(job, json.dumps(row))


@contextmanager
def driven(redis: Redis, url: str) -> Iterator[Beat]:
    """A beat for several worlds, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        with driven_beat(redis, url, patch) as beat:
            yield beat


@contextmanager
def world(redis: Redis, beat: Beat) -> Iterator[World]:
    """Start an empty world, and leave an empty Redis."""
    redis.flushall()
    beat.scheduler.leadership.note_lost()
    beat.clock.now = START
    made = World(redis, beat)
    try:
        yield made
    finally:
        for work in list(made.working):
            made.end(work, "died")
        redis.flushall()
