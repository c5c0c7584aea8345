"""A world of jobs without processes: the real beat, ledger, registry and workers, on one clock.

It does what people, services and outages do, and keeps two logs of its own: what the service on
the other side saw, and the schedules as they were. Nothing in it reads what the commands say.
"""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from applying import apply
from driven import Beat, driven_beat
from policy_service import Seen, Working, install
from redis import Redis

from cron_tasks import backfill, by_hand, names
from cron_tasks.due import Due
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs import Job, validate
from cron_tasks.ledger import PATIENCE, Ledger
from cron_tasks.limits import Limits
from cron_tasks.outcomes import Attempt, Result, record
from cron_tasks.plan import Changes, Desired
from cron_tasks.registry import Registry
from cron_tasks.runner import Runner
from cron_tasks.settings import Settings
from cron_tasks.ticks import parse_run_id, run_id

#: A whole hour, in 2027.
START = 1_800_000_000.0
QUEUE, MESSAGES = "celery", "queue:to_telegram"
LIMITS = Limits(http=("127.0.0.1",))
EVENTS = ["success", "failure", "retry", "skipped", "missed"]
SETTINGS = Settings(
    rest_url="http://127.0.0.1:9", chat_id="1", http_allow=["127.0.0.1"], history_runs=10_000
)


@dataclass
class Known:
    """What was asked of a job: its row, and its timing as it was: (since, until, seconds)."""

    row: dict[str, Any]
    listed: bool = True
    paused: bool = False
    removed: list[float] = field(default_factory=list)
    skip: float | None = None
    catchups: set[str] = field(default_factory=set)
    spans: list[tuple[float, float, int]] = field(default_factory=list)
    counts: tuple[float, int] | None = None

    def retime(self, now: float) -> None:
        """From now on the job has the timing of its row, if it has one."""
        self.catchups.add(self.row.get("catchup", {}).get("policy", "one"))
        rests = self.paused or not self.listed or not self.row.get("enabled", True)
        every = 0 if rests else self.row["every"]
        if self.counts and self.counts[1] != every:
            self.spans.append((self.counts[0], now, self.counts[1]))
            self.counts = None
        if not self.counts:
            self.counts = now, every

    def expected(self, until: float) -> Iterator[float]:
        """Every tick that the schedules, as they were, asked for."""
        last = (self.counts[0], until, self.counts[1]) if self.counts else (0.0, 0.0, 0)
        for since, to, every in (*self.spans, last):
            if every:
                tick = since // every * every + every
                while tick <= to:
                    yield tick
                    tick += every


class World:
    """All of it; the test moves `beat.clock`."""

    def __init__(self, redis: Redis, beat: Beat) -> None:
        self.redis, self.beat, self.ledger = redis, beat, Ledger(redis, SETTINGS)
        self.registry, self.clock = Registry(redis), beat.clock
        self.runner = Runner(
            self.ledger, self.registry, SETTINGS, "w", lambda: self.clock.now, lambda *_: None
        )
        self.jobs: dict[str, Known] = {}
        self.working: list[Working] = []
        self.log: list[Seen] = []
        self.wrong: list[str] = []
        self.asked: dict[str, float] = {}  # runs that people opened, since when
        self.rounds: dict[str, int] = {}
        self.repeated: set[str] = set()
        self.cancelled: set[str] = set()
        self.in_turn: set[str] = set()
        self.backfills: list[tuple[Job, backfill.Backfill, list[str]]] = []
        self.pressed: set[tuple[str, float]] = set()

    # Time and beat

    def tick(self) -> None:
        """Let beat look once. For it the clock was not stepped: time passed. It asks for no sync."""
        scheduler = self.beat.scheduler
        scheduler._clock_offset = self.clock.now - time.monotonic()
        scheduler._compare_at = scheduler._rebuild_at = float("inf")
        self.beat.tick()
        for name, state in self.opened().items():
            if "c" in state.split("|")[2] and name not in self.asked:
                self.in_turn.add(name)

    def opened(self) -> dict[str, str]:
        return dict(self.redis.hgetall(names.OPEN))

    def passes(self, seconds: float, beat: bool = True) -> None:
        """Let time pass; beat looks whenever it has something to do, and workers each second."""
        until = self.clock.now + seconds
        while beat and (upcoming := self._upcoming()) < until:
            self.clock.now = upcoming
            self.workers_look()
            self.tick()
        self.clock.now = until
        self.workers_look()
        if beat:
            self.tick()

    def _upcoming(self) -> float:
        soonest = self.redis.zrange(names.SCHEDULE, 0, 0, withscores=True)
        soonest += self.redis.zrange(names.DEADLINES, 0, 0, withscores=True)
        return max(min([at for _, at in soonest], default=float("inf")), self.clock.now + 1)

    def finished_at(self, run: Mapping[str, Any]) -> float:
        return datetime.fromisoformat(run["finished_at"]).timestamp()

    # Workers

    def hints(self) -> list[str]:
        """Take the next message; the runs that it names."""
        if (message := self.redis.rpop(QUEUE)) is None:
            return []
        whole = json.loads(message)
        if whole["headers"]["task"] == names.RUN_TASK:
            return [whole["headers"]["id"]]
        (ids, _), _, _ = json.loads(base64.b64decode(whole["body"]))
        return list(ids)

    def take(self, name: str) -> Working | None:
        """Give a worker the message of a run; its attempt, if that has begun."""
        work = Working(self.runner, name, lambda run: self._began(run.run_id, run.attempt))
        if work.over:
            return None
        self.working.append(work)
        return work

    def _began(self, name: str, attempt: int) -> Seen:
        job = self.jobs[name.rpartition("@")[0]]
        alone = job.row.get("overlap", "skip") != "allow"
        seen = Seen(name, self.rounds.get(name, 0), attempt, self.clock.now, alone)
        self.wrong += self._forbidden(seen, job)
        self.log.append(seen)
        return seen

    def _forbidden(self, seen: Seen, job: Known) -> Iterator[str]:
        """Why an attempt must not begin now."""
        name, by_hand = seen.run_id, seen.run_id in self.asked
        _, tick = parse_run_id(name) or ("", 0.0)
        since = self.asked.get(name, tick - 0.001)
        if name in self.cancelled:
            yield f"{name} begins although it was cancelled"
        if not job.listed or any(since < at for at in job.removed):
            yield f"{name} begins although its job was removed"
        if job.paused and not by_hand:
            yield f"{name} begins although its job is paused"
        if not job.row.get("enabled", True) and not by_hand:
            yield f"{name} begins although its job is disabled"
        for other in self.log:
            if other.how == "going" and other.job_id == seen.job_id and seen.alone and other.alone:
                yield f"{name} overlaps {other.run_id}"
        earlier = [e for e in self.log if (e.run_id, e.round) == (name, seen.round)]
        numbers = [e.attempt for e in earlier]
        if seen.attempt != (numbers[-1] if numbers else 0) + 1:
            yield f"attempt {seen.attempt} of {name} comes after {numbers}"

    def end(self, work: Working, how: str, retry_after: float = 0.0) -> None:
        self.working.remove(work)
        work.end(how, self.clock.now, retry_after)

    def workers_look(self) -> None:
        """Have each worker renew its lease and cut off what nobody wants any more."""
        for work in list(self.working):
            work.obey(self.clock.now)
            if work.over:
                self.working.remove(work)

    def works_off(self) -> None:
        """Let workers take every message, and all attempts end well."""
        for _ in range(1000):
            for work in list(self.working):
                self.end(work, "ok")
            if not (ids := self.hints()):
                return
            for name in ids:
                if work := self.take(name):
                    self.end(work, "ok")
        raise AssertionError("messages without end")

    def runs_out(self) -> None:
        """Let all that is open come to its end."""
        for _ in range(300):
            self.tick()
            self.works_off()
            self.go_on()
            if not self.opened() and not self.backfills and not self.redis.exists(QUEUE):
                return
            self.clock.now = self._upcoming()
        raise AssertionError(f"open for ever: {self.opened()}")

    def ended(self) -> list[str]:
        """Runs that might be done again: those that began, and those that were to."""
        last = {name for name, _ in self.redis.zrange(names.FAILED, 0, -1, withscores=True)}
        expected = {
            run_id(job_id, tick)
            for job_id, job in self.jobs.items()
            for tick in job.expected(self.clock.now)
        }
        return sorted((last | expected | self.asked.keys()) - self.opened().keys())

    # People

    def send(self, job_id: str, name: str) -> None:
        self.beat.scheduler._publisher.ticks([Due(name, job_id, {}, False)])

    def pause(self, job_id: str) -> None:
        self.registry.pause(job_id, "stocktaking", self.clock.now)
        self.ledger.look_after({job_id}, self.clock.now)
        self.jobs[job_id].paused = True
        self.jobs[job_id].retime(self.clock.now)

    def resume(self, job_id: str) -> None:
        self.registry.resume(job_id, self.clock.now)
        self.jobs[job_id].paused = False
        self.jobs[job_id].retime(self.clock.now)

    def run(self, job_id: str) -> str:
        if (job_id, self.clock.now) in self.pressed:
            return ""  # Two people, within a millisecond.
        self.pressed.add((job_id, self.clock.now))
        name = by_hand.open_by_hand(self.ledger, self.registry.job(job_id), self.clock.now)
        if name not in self.asked:
            self.asked[name] = self.clock.now
            self.send(job_id, name)
        return name

    def cancel(self, name: str) -> None:
        by_hand.cancel(self.redis, self.ledger, name, self.clock.now, SETTINGS)
        self.cancelled.add(name)

    def retry(self, name: str) -> None:
        self.passes(1, beat=False)  # Messages about a second end differ by its time.
        try:
            by_hand.reopen(self.redis, self.ledger, name, self.clock.now)
        except RunUnfit:
            return
        self._again(name, "ended")
        self.send(name.rpartition("@")[0], name)

    def _again(self, name: str, ended: str | None) -> None:
        """Note that a person opened a run, which has ended before or has never been."""
        if ended:
            self.repeated.add(name)
        self.asked[name] = self.clock.now
        self.rounds[name] = self.rounds.get(name, 0) + 1
        self.cancelled.discard(name)

    def backfill(self, job_id: str, seconds: float) -> None:
        """As the command does: all at once, or one after the other while it waits."""
        job, now = self.registry.job(job_id), self.clock.now
        found = backfill.plan(self.redis, job, now - seconds, now, now)
        if backfill.in_turn(job):
            self.backfills.append((job, found, ["", *found.missing]))
            self.go_on()
        else:
            for name in found.open_all(self.ledger, now):
                self._again(name, found.missing[name])

    def go_on(self) -> None:
        """Each command of a backfill opens its next run once the one before has ended."""
        for job, found, left in self.backfills:
            while left and not self.redis.hexists(names.OPEN, left[0]):
                left.pop(0)
                if left and found.open_some(self.ledger, left[:1], self.clock.now + PATIENCE):
                    self._again(left[0], found.missing[left[0]])
                    self.send(job.id, left[0])
        self.backfills = [each for each in self.backfills if each[2]]

    def skip_next(self, job_id: str) -> None:
        (job,) = self.registry.registered([job_id])
        if job.next is not None:
            result, by = Result("skipped", "by_hand"), Attempt(0, None, self.clock.now, None)
            line = record(run_id(job_id, job.next), result, by)
            if self.registry.skip(job_id, job.next, line, self.clock.now):
                self.jobs[job_id].skip = job.next

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
        apply(self.redis, Changes(**changes), self.clock.now)
        self.jobs[job_id].retime(self.clock.now)

    def _desired(self, row: Mapping[str, Any]) -> Desired:
        job = validate(dict(row), timezone="UTC", limits=LIMITS)
        assert isinstance(job, Job), job
        return Desired(job, json.dumps(row))


@contextmanager
def driven(redis: Redis, url: str) -> Iterator[Beat]:
    """A beat for any number of worlds, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        with driven_beat(redis, url, patch) as beat:
            yield beat


@contextmanager
def world(redis: Redis, beat: Beat) -> Iterator[World]:
    """An empty world; leaves an empty Redis."""
    redis.flushall()
    beat.scheduler.leadership.lost()
    beat.clock.now = START
    made = World(redis, beat)
    try:
        yield made
    finally:
        for work in list(made.working):
            made.end(work, "died")
        redis.flushall()
