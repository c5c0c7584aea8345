"""The system under attack: Valkey, a REST service, two beats and two workers, kept alive."""

import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import wait_until
from processes import Celery, Process, Valkey
from redis import Redis
from redis.exceptions import RedisError
from rest_server import RestServer

from chaos.victim import BEAT_INSTANTS

#: Seconds between the ticks of the jobs; each interval has JOBS_EACH of them.
INTERVALS = (1, 2, 3, 5, 7)
JOBS_EACH = 4
#: Catch-up policies in turn.
POLICIES = ("one", "all", "none")


def job_rows(enabled: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{interval}s-{number}",
            "name": f"every {interval} s, {POLICIES[number % 3]}",
            "every": interval,
            "enabled": enabled,
            "catchup": {"policy": POLICIES[number % 3], "window": 60},
        }
        for interval in INTERVALS
        for number in range(JOBS_EACH)
    ]


class World:
    """Two beats and two workers that a supervisor starts again whenever they are gone."""

    def __init__(
        self, folder: Path, rest: RestServer, random_: random.Random, own_broker: bool = False
    ) -> None:
        self.random = random_
        self.rest = rest
        self.valkey = Valkey(folder / "valkey", appendfsync="always")
        self.redis = Redis.from_url(self.valkey.url, decode_responses=True, socket_timeout=5)
        env = {
            "CRON_TASKS_REDIS_URL": self.valkey.url,
            "CRON_TASKS_REST_URL": rest.url,
            "CRON_TASKS_CHAT_ID": "1",
            "CRON_TASKS_SYNC_INTERVAL": "5",
            "CRON_TASKS_HISTORY_RUNS": "10000",
        }
        self.broker = Valkey(folder / "broker") if own_broker else None
        if self.broker:
            env["CELERY_BROKER_URL"] = self.broker.url
        self.celery = Celery(env, folder)
        self.members: dict[str, Process] = {}
        self._starts: dict[str, Callable[[], Process]] = {
            "beat 1": self.celery.beat,
            "beat 2": self.celery.beat,
            "worker 1": lambda: self.celery.worker(2),
            "worker 2": lambda: self.celery.worker(2),
        }
        self.gave_up: list[str] = []
        self._ended = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise)

    def start(self) -> None:
        for name, start in self._starts.items():
            self.members[name] = start()
        self._supervisor.start()

    def _supervise(self) -> None:
        while not self._ended.wait(0.3):
            for name, process in list(self.members.items()):
                if not process.alive:
                    # A SIGTERM heeded, or come before anybody could; -9 is ours; all else gave up.
                    if (code := process.popen.returncode) not in (0, -15, -9):
                        self.gave_up.append(f"{name} exited with {code}: see {process.log.name}")
                    self.members[name] = self._starts[name]()

    def end(self) -> None:
        self._ended.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        self.celery.end()
        self.redis.close()
        self.valkey.stop()
        if self.broker:
            self.broker.stop()

    def replace(self, name: str, instant: str, nth: int) -> Process:
        """Put a victim in the member's place, which dies at `instant` and is then replaced."""
        kind = "beat" if instant in BEAT_INSTANTS else "worker"
        old = self.members[name]
        arguments = [sys.executable, "-m", "chaos.victim", instant, str(nth), "celery"]
        arguments += ["-A", "cron_tasks", "-q", kind, "-l", "INFO"]
        if kind == "worker":
            arguments += ["-c", "2", "-n", f"victim{len(self.celery.processes)}@test"]
        log = self.celery.folder / f"victim-{len(self.celery.processes)}.log"
        victim = Process(arguments, self.celery.env | {"PYTHONPATH": "."}, log)
        self.celery.processes.append(victim)
        self.members[name] = victim
        old.end()
        return victim

    def leader(self) -> str:
        """The beat that seems to lead; a guess is good enough to hurt somebody."""
        leading = [
            name
            for name in ("beat 1", "beat 2")
            if '"beat.leading"' in self.members[name].output.rpartition("standing_by")[2]
        ]
        return self.random.choice(leading or ["beat 1", "beat 2"])

    def any_worker(self) -> str:
        return self.random.choice(["worker 1", "worker 2"])

    def answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except (RedisError, OSError):
            return False

    def wait_until_it_runs(self, timeout: float = 60) -> float:
        """Seconds until a tick that is due after now has been told."""
        begun = time.time()

        def told() -> bool:
            try:
                message = self.redis.lindex("queue:to_telegram", -1)
            except (RedisError, OSError):
                return False
            return bool(message) and _scheduled(message) > begun

        wait_until(told, "a new tick to be told", timeout)
        return time.time() - begun


def _scheduled(message: str) -> float:
    import json
    from datetime import datetime

    return datetime.fromisoformat(json.loads(message)["scheduled_for"]).timestamp()
