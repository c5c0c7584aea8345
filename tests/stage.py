"""One job, a worker and a sweep in this process, on a clock that a test moves.

The job calls a real HTTP server, whose log shows the attempts.
"""

import json
from typing import Any

from applying import apply
from redis import Redis
from rest_server import RestServer

from cron_tasks.audit.account_reader import read_accounts
from cron_tasks.audit.explain import explain_tick
from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.ledger.ledger import LEASE, Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.plan import Changes, Policy, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.runs.shapes import Shape
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.worker.runner import Runner

NOW = 1_800_000_000.0
TICK = RunId("7", NOW)
QUEUE = "queue:to_telegram"


class Stage:
    """The tick NOW of an hourly job."""

    def __init__(self, redis: Redis, rest: RestServer, **fields: Any) -> None:
        self.redis, self.rest, self.now = redis, rest, NOW
        self.settings = Settings(http_allow="127.0.0.1", tasks_allow="other.*", chat_id="100")
        self.ledger, self.registry = Ledger(redis, self.settings), Registry(redis)
        self.runner = Runner(
            self.ledger, self.registry, self.settings, "w", lambda: self.now, lambda *_: None
        )
        action = {"type": "http", "url": f"{rest.url}/hook"}
        retry = {"max_attempts": 3, "backoff": 0}
        self.row = {"id": 7, "name": "Nightly report", "every": 3600, "action": action}
        self.row |= {"retry": retry, "chat_id": 7, **fields}
        self.edit(NOW - 1)

    def edit(self, at: float, **fields: Any) -> None:
        self.row |= fields
        permissions = Permissions(http=("127.0.0.1",))
        known = self.registry.read_index()
        changes = plan_changes(known, [("row 1", self.row)], Policy(permissions=permissions))
        apply(self.redis, changes, at)

    def remove(self) -> None:
        apply(self.redis, Changes(removed=["7"]), self.now)

    def fire(self, when: float = NOW) -> str:
        tick = RunId("7", when)
        self.redis.hset(keys.OPEN, tick, "p|1||")
        self.redis.zadd(keys.DEADLINES, {tick: when})
        self.redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): when + 3600}, xx=True)
        return tick

    def run(self, tick: str = TICK) -> str:
        """Return the outcome of the tick when its message comes."""
        became = self.runner.run([tick]).get(tick, "")
        if became != "in flight":
            return became
        self.runner.flights.drain()
        found = queries.find_end(self.redis, RunId.stored(tick))
        return "retry" if self.redis.hexists(keys.OPEN, tick) else found["status"] if found else ""

    def sweep(self) -> None:
        """Sweep all waiting runs. No message arrives."""
        self.now += LEASE + 1
        sweep_overdue(
            self.ledger, self.now, self.settings, lambda _: 0, lambda _: None, lambda _: None
        )

    def fails(self, times: int = 1) -> None:
        """Make this many attempts fail. The next one waits."""
        for _ in range(times):
            if (self.redis.hget(keys.OPEN, TICK) or "").startswith("w"):
                self.ledger.hand_back(self.now, [(TICK, self.redis.hget(keys.OPEN, TICK) or "")])
            assert self.run() == "retry"

    @property
    def asked(self) -> int:
        """Return the number of requests that the server got."""
        return len([path for _, path, _ in self.rest.requests if path == "/hook"])

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.redis.lrange(QUEUE, 0, -1)]

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.told]

    def shown(self, tick: str = TICK) -> Shape:
        """Return everything that `runs show` prints."""
        found = queries.describe_run(self.redis, tick)
        assert found is not None
        return found

    def why(self, at: float = NOW) -> str:
        (account,) = read_accounts(self.redis, ["7"], [int(at // 86400)])
        return explain_tick(account, {}, at, self.now, "UTC").sentence
