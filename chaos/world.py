"""The system under attack: Valkey, a REST service, two beats, two workers, and a service that jobs
call. A supervisor restarts all of them."""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from helpers import free_port, wait_until
from processes import Celery, Process, Valkey
from redis import Redis
from redis.exceptions import RedisError
from rest_server import RestServer

from chaos.asked import Asked, seconds
from chaos.edits import Editor
from chaos.jobs import EDITS, flip_rows, job_rows
from chaos.listing import Listing
from chaos.victim import BEAT_INSTANTS

#: The runs that a worker performs at a time. Actions that take seconds must not block all others.
SLOTS = 4
#: Modules that a worker of chaos includes besides the product's.
INCLUDED = "chaos.work,chaos.traps"
SYNC_INTERVAL = 5
#: Seconds in which no filler is due.
IDLE = 86_400
T = TypeVar("T")


class World:
    """Two beats and two workers, which a supervisor restarts whenever they are gone."""

    def __init__(
        self, folder: Path, rest: RestServer, seed: int, own_broker: bool, stream: bool
    ) -> None:
        self.seed, self.begun = seed, time.time()
        self.random = random.Random(seed)
        self.rest = rest
        self.stream = stream
        self.target_url = f"http://127.0.0.1:{free_port()}/"
        self.target_log = folder / "target.jsonl"
        fast, flips = job_rows(self.target_url), flip_rows()
        self.rows = [*fast, *flips]
        self.listing = Listing(rest, fast, flips, time.time() // 3600 * 3600 + IDLE)
        with self.listing.edit():
            pass
        self.orders = folder / "orders"
        self.orders.mkdir()
        #: The offset of each member's clock, in seconds.
        self.clocks: dict[str, float] = {}
        self.begin_round()
        self._decks: dict[tuple[Any, ...], list[Any]] = {}
        #: Paused jobs, and since when.
        self.paused: dict[str, float] = {}
        here = Path(__file__).parent
        self.valkey = Valkey(folder / "valkey", appendfsync="always")
        self.redis = Redis.from_url(self.valkey.url, decode_responses=True, socket_timeout=5)
        env = {
            "CRON_TASKS_REDIS_URL": self.valkey.url,
            "CRON_TASKS_REST_URL": rest.url,
            "CRON_TASKS_CHAT_ID": "1",
            "CRON_TASKS_SYNC_INTERVAL": str(SYNC_INTERVAL),
            "CRON_TASKS_HISTORY_RUNS": "10000",
            "CRON_TASKS_NOTIFY_TRANSPORT": "stream" if stream else "list",
            "CRON_TASKS_HTTP_ALLOW": "127.0.0.1",
            "CRON_TASKS_TASKS_ALLOW": "chaos.*",
            "CHAOS_TARGET": self.target_url,
            "CHAOS_ORDERS": str(self.orders),
            "PYTHONPATH": f"{here.parent}{os.pathsep}{here / 'clock'}",
        }
        self.broker = Valkey(folder / "broker") if own_broker else None
        if self.broker:
            env["CELERY_BROKER_URL"] = self.broker.url
        self.celery = Celery(env, folder)
        self.start_target()
        self.members: dict[str, Process] = {}
        self._starts: dict[str, Callable[[], Process]] = {
            "beat 1": lambda: self._beat("beat 1"),
            "beat 2": lambda: self._beat("beat 2"),
            "worker 1": lambda: self._worker("worker 1"),
            "worker 2": lambda: self._worker("worker 2"),
        }
        self.gave_up: list[str] = []
        self._ended = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise)

    def begin_round(self) -> None:
        """Forget the manual actions and the findings. The clocks keep their offsets."""
        self.asked = Asked(apart=1.0 if any(self.clocks.values()) else 0.0)
        self.editor = Editor(self)
        self.wrong: dict[str, list[str]] = {"registry": [], "stuck": []}
        with self.listing.edit() as listing:
            listing.until, listing.every = None, EDITS[0]

    def _beat(self, name: str) -> Process:
        return self.celery.beat(**self._clock(name))

    def _worker(self, name: str) -> Process:
        return self.celery.worker(SLOTS, "--include", INCLUDED, **self._clock(name))

    def _clock(self, name: str) -> dict[str, str]:
        return {"CHAOS_CLOCK": str(self.clocks.get(name, 0.0))}

    def poke(self) -> None:
        """Poke the system, because the list changed. Without Redis, its own syncs notice the
        change."""
        with suppress(RedisError, OSError):
            self.redis.lpush("cron_tasks:poke", "*")

    def start_target(self) -> None:
        port = self.target_url.rpartition(":")[2].rstrip("/")
        arguments = [port, str(self.target_log), str(self.seed)]
        command = [sys.executable, "-m", "chaos.target", *arguments]
        self.target = Process(command, self.celery.env, self.celery.folder / "target.log")
        self.celery.processes.append(self.target)

    def start(self) -> None:
        for name, start in self._starts.items():
            self.members[name] = start()
        self._supervisor.start()

    def _supervise(self) -> None:
        while not self._ended.wait(0.3):
            for name, process in list(self.members.items()):
                if not process.alive:
                    # A SIGTERM that was obeyed, or came too early for a handler. -9 is ours. Any
                    # other status is a failure.
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
        """Replace the member by a victim that dies at `instant` and is then replaced itself."""
        kind = "beat" if instant in BEAT_INSTANTS else "worker"
        member, old = name, self.members[name]
        arguments = [sys.executable, "-m", "chaos.victim", instant, str(nth), "celery"]
        arguments += ["-A", "cron_tasks", "-q", kind, "-l", "INFO"]
        if kind == "worker":
            name_it = f"victim{len(self.celery.processes)}@test"
            arguments += ["-c", str(SLOTS), "-n", name_it, "--include", INCLUDED]
        log = self.celery.folder / f"victim-{len(self.celery.processes)}.log"
        victim = Process(arguments, self.celery.env | self._clock(member), log)
        self.celery.processes.append(victim)
        self.members[name] = victim
        old.end()
        return victim

    def deal(self, cards: tuple[T, ...]) -> T:
        """Return one of them. None comes again before all have come."""
        return self._deck(cards).pop()

    def order(self, cards: tuple[T, ...]) -> list[T]:
        """Return the order in which they come next."""
        return self._deck(cards)[::-1]

    def _deck(self, cards: tuple[T, ...]) -> list[T]:
        left = self._decks.setdefault(cards, [])
        left += [] if left else self.random.sample(cards, len(cards))
        return left

    def leader(self) -> str:
        """Return the beat that seems to lead. A guess is good enough for a fault."""
        leading = [
            name
            for name in ("beat 1", "beat 2")
            if '"beat.leading"' in self.members[name].output.rpartition("standing_by")[2]
        ]
        return self.random.choice(leading or ["beat 1", "beat 2"])

    def any_worker(self) -> str:
        return self.random.choice(["worker 1", "worker 2"])

    def messages(self) -> list[str]:
        """Return the lists and hashes of the broker with messages that nobody has handled."""
        url = (self.broker or self.valkey).url
        with Redis.from_url(url, decode_responses=True, socket_timeout=5) as broker:
            ours = "cron_tasks:", "redbeat:", "queue:"
            queues = [k for k in broker.scan_iter(_type="LIST") if not k.startswith(ours)]
            return queues + (["unacked"] if broker.hlen("unacked") else [])

    def answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except (RedisError, OSError):
            return False

    def wait_until_it_runs(self, timeout: float = 60) -> float:
        """Return the seconds until a tick that is due from now on has been notified."""
        begun = time.time()

        def told() -> bool:
            try:
                last = self.told(1)
            except (RedisError, OSError):
                return False
            return any(seconds(message["scheduled_for"]) > begun for message in last)

        wait_until(told, "a new tick to be told", timeout)
        return time.time() - begun

    def told(self, last: int | None = None) -> list[dict[str, Any]]:
        """Return the notifications on the bot's queue, all or the last ones."""
        if self.stream:
            entries = self.redis.xrevrange("queue:to_telegram", count=last)
            messages = [fields["data"] for _, fields in entries]
        else:
            messages = self.redis.lrange("queue:to_telegram", -last if last else 0, -1)
        return list(map(json.loads, messages))
