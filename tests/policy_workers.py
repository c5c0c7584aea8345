"""The real beat, ledger and workers without processes, on one clock. Time passes in moments."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from driven import Beat
from policy_known import Known
from policy_service import Seen, Working
from redis import Redis

from cron_tasks.beat.clock import ClockWatch
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, State
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.worker.runner import Runner

#: A whole hour, in 2027.
START = 1_800_000_000.0
QUEUE, MESSAGES = "cron_tasks", "queue:to_telegram"
PERMISSIONS = Permissions(http=("127.0.0.1",))
EVENTS = ["success", "failure", "retry", "skipped", "missed"]
SETTINGS = Settings(
    rest_url="http://127.0.0.1:9", chat_id="1", http_allow=["127.0.0.1"], history_runs=10_000
)


class Workers:
    """Beat and the workers; the test moves `beat.clock`."""

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
        self.asked: dict[str, float] = {}  # Runs that people opened, and since when.
        self.rounds: dict[str, int] = {}
        self.repeated: set[str] = set()
        self.cancelled: set[str] = set()
        self.in_turn: set[str] = set()
        self.pressed: set[tuple[str, float]] = set()

    # Time and beat

    def tick(self) -> None:
        """Make one turn of beat, for which time passed and no clock was stepped. It requests no
        sync."""
        scheduler = self.beat.scheduler
        scheduler._clock_watch = ClockWatch(self.clock.now)
        scheduler._compare_at = scheduler._rebuild_at = float("inf")
        self.beat.tick()
        for name, state in self.opened().items():
            if Flag.IN_TURN in State.parse(state).flags and name not in self.asked:
                self.in_turn.add(name)

    def opened(self) -> dict[str, str]:
        return dict(self.redis.hgetall(keys.OPEN))

    def passes(self, seconds: float, beat: bool = True) -> None:
        """Let time pass. Beat makes a turn whenever it has something to do, and workers check each
        second."""
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
        soonest = self.redis.zrange(keys.SCHEDULE, 0, 0, withscores=True)
        soonest += self.redis.zrange(keys.DEADLINES, 0, 0, withscores=True)
        return max(min([at for _, at in soonest], default=float("inf")), self.clock.now + 1)

    def finished_at(self, run: Mapping[str, Any]) -> float:
        return datetime.fromisoformat(run["finished_at"]).timestamp()

    # Workers

    def hints(self) -> list[str]:
        """Take the next message, and return its runs."""
        if (message := self.redis.rpop(QUEUE)) is None:
            return []
        whole = json.loads(message)
        if whole["headers"]["task"] == keys.RUN_TASK:
            return [whole["headers"]["id"]]
        (ids, _), _, _ = json.loads(base64.b64decode(whole["body"]))
        return list(ids)

    def take(self, name: str) -> Working | None:
        """Give a worker the message of a run. Return its attempt, if that has begun."""
        work = Working(self.runner, name, lambda run: self._began(run.run_id, run.attempt))
        if work.over:
            return None
        self.working.append(work)
        return work

    def _began(self, name: str, attempt: int) -> Seen:
        job = self.jobs[RunId.stored(name).job_id]
        alone = job.row.get("overlap", "skip") != "allow"
        seen = Seen(name, self.rounds.get(name, 0), attempt, self.clock.now, alone)
        self.wrong += self._forbidden(seen, job)
        self.log.append(seen)
        return seen

    def _forbidden(self, seen: Seen, job: Known) -> Iterator[str]:
        """Return why an attempt must not begin now."""
        name, by_hand = seen.run_id, seen.run_id in self.asked
        tick = RunId.stored(name).scheduled_for
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
        """Make each worker renew its lease and interrupt attempts that should end."""
        for work in list(self.working):
            work.obey(self.clock.now)
            if work.over:
                self.working.remove(work)

    def works_off(self) -> None:
        """Make workers take every message, and all attempts end ok."""
        for _ in range(1000):
            for work in list(self.working):
                self.end(work, "ok")
            if not (ids := self.hints()):
                return
            for name in ids:
                if work := self.take(name):
                    self.end(work, "ok")
        raise AssertionError("messages without end")
