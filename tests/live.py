"""Real processes, and a service that their jobs call. The service's log shows what ran."""

import json
import select
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any

from command_line import CommandLine
from helpers import PATIENCE, wait_until
from processes import Celery
from redis import Redis
from rest_server import Answer, Handler, RestServer, reply

from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

HOUR = 3600


@dataclass(slots=True)
class Call:
    """A request as the service saw it: in flight, answered, or cut off by the caller.

    `alone` is whether no other call of the job was in flight when it came.
    """

    job_id: str
    run_id: str
    came: float
    alone: bool
    how: str = "going"

    @property
    def tick(self) -> float:
        return RunId.stored(self.run_id).scheduled_for


class Service(RestServer):
    """Takes the calls of jobs, each at a separate path.

    Calls of jobs in `held` are not answered yet. `answers` are those other than 200, by job or run
    id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer = self._serve
        self.calls: list[Call] = []
        self.held: set[str] = set()
        self.answers: dict[str, Answer] = {}
        self._noting = threading.Lock()

    def action(self, job_id: str) -> dict[str, Any]:
        return {"type": "http", "method": "POST", "url": f"{self.url}/{job_id}"}

    def going(self) -> list[str]:
        return [call.run_id for call in self.calls if call.how == "going"]

    def saw(self, run_id: str) -> list[str]:
        """Return how the calls of a run ended."""
        return [call.how for call in self.calls if call.run_id == run_id]

    def of(self, job_id: str) -> list[Call]:
        return [call for call in self.calls if call.job_id == job_id]

    def _serve(self, handler: Handler) -> bool:
        job_id, run_id = handler.path.removeprefix("/"), handler.headers["Idempotency-Key"]
        with self._noting:
            alone = not any(call.how == "going" for call in self.of(job_id))
            call = Call(job_id, run_id, time.time(), alone)
            self.calls.append(call)
        while job_id in self.held and not self.stopping.is_set():
            if select.select([handler.connection], [], [], 0.02)[0]:  # The caller hung up.
                call.how, handler.close_connection = "cut off", True
                return True
        call.how = "answered"
        answer = self.answers.get(run_id) or self.answers.get(job_id) or reply(200)
        return answer(handler)


class Live:
    """A worker and a beat, and the jobs of their list, which all call `service`."""

    def __init__(self, redis: Redis, rest: RestServer, celery: Celery, service: Service) -> None:
        self.redis, self.rest, self.celery, self.service = redis, rest, celery, service
        self._rows: tuple[dict[str, Any], ...] = ()
        self._lists = 0

    def start(self, *rows: dict[str, Any], slots: int = 4, **settings: str) -> None:
        """Start both with these jobs. `settings` are names without prefix."""
        self.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
        self.celery.env |= {f"CRON_TASKS_{name}": value for name, value in settings.items()}
        self.celery.worker(slots)
        self.beat = self.celery.beat()
        self.lists(*rows)

    def lists(self, *rows: dict[str, Any]) -> None:
        """Make the REST service list these jobs, and return once they are registered."""
        self._rows, self._lists = rows, self._lists + 1
        mark = f"list {self._lists}"
        self.rest.jobs = [
            {"name": row["id"], "action": self.service.action(row["id"]), "tags": [mark]} | row
            for row in (*rows, {"id": "mark", "every": 31_536_000})
        ]
        self.redis.lpush(keys.POKE, "*")
        wanted = [row["id"] for row in self.rest.jobs]

        def counts() -> bool:
            if not all(self.redis.hmget(keys.JOBS, wanted)):
                return False
            found = Registry(self.redis).read_jobs(wanted)
            return all(each.job.tags == (mark,) for each in found)

        wait_until(counts, "the sync")

    def outage(self, seconds: float) -> None:
        """Let no beat run for some seconds."""
        self.beat.terminate()
        until = time.time() + seconds
        wait_until(lambda: time.time() >= until, "the end of the outage")
        self.beat = self.celery.beat()

    def settles(self) -> None:
        """Let all open runs end."""
        wait_until(lambda: not self.redis.exists(keys.OPEN), "the end of all runs")

    def ends(self) -> None:
        """End the jobs in a moment, and let all runs that are due until then end."""
        self.lists(*(row | {"end_at": iso_utc(soon(2))} for row in self._rows))
        entries = [keys.entry_key(row["id"]) for row in self._rows]

        def over() -> bool:
            due = self.redis.zmscore(keys.SCHEDULE, entries)
            return all(score is None for score in due)

        wait_until(over, "the last ticks")
        self.settles()

    def state(self, run_id: str) -> str:
        """Return the state of an open run: p(ending), r(unning), w(aiting) or q(ueued). "" means
        that it is not open."""
        return (self.redis.hget(keys.OPEN, run_id) or "")[:1]

    def reaches(self, run_id: str, *states: str) -> None:
        wait_until(lambda: self.state(run_id) in states, f"{run_id} as one of {states}")


def waits_for_pokes(client: dict[str, str]) -> bool:
    """Return whether a client in CLIENT LIST is a beat that waits."""
    return client["cmd"] == "blpop" and "b" in client["flags"]


def wait_for_syncs(redis: Redis) -> None:
    """Wait until every sync that was asked for has ended.

    A poke that beat has taken out of its list and not yet recorded is in no key. Meanwhile beat
    does not wait for the next one.
    """

    def have_ended() -> bool:
        with redis.pipeline() as pipe:
            pipe.exists(keys.POKE, keys.SYNC_WANTED, keys.SYNC_TAKEN)
            pipe.exists(keys.SYNC_QUEUE, keys.SYNC_LOCK)
            pipe.client_list(_type="normal")
            is_wanted, is_coming, clients = pipe.execute()
        return not is_wanted and not is_coming and any(map(waits_for_pokes, clients))

    wait_until(have_ended, "the end of all syncs")


def as_if_away(redis: Redis, job_id: str, known: float, due: float) -> None:
    """Make beat find a job that has been known since `known`, and has not fired since `due`."""
    key = keys.entry_key(job_id)
    redis.hset(key, "since", repr(known))
    redis.hset(key, "meta", '{"last_run_at": null, "total_run_count": 1}')
    redis.zadd(keys.SCHEDULE, {key: due})


def outcomes(commands: CommandLine, run_id: str) -> set[str]:
    """Return the end of a run as each command for single runs shows it."""
    job_id, _, at = run_id.rpartition("@")
    listed = commands.json("runs", job_id, "-n", "1000")
    of_job = commands.json("jobs", "show", job_id)["runs"]
    dead = commands.json("runs", "--status", "failed")
    said = {commands.json("runs", "show", run_id)["status"]}
    said.add(commands.json("why", job_id, "--at", at)["status"])
    for newest_first in (listed, of_job, dead):
        said.update([run["status"] for run in newest_first if run["run_id"] == run_id][:1])
    return said


def soon(seconds: float = 1.0) -> float:
    """Return a whole second that is at least this many seconds from now."""
    return float(int(time.time() + seconds) + 1)


def once(job_id: str, tick: float, **fields: Any) -> dict[str, Any]:
    """Return a job with a single tick."""
    return {"id": job_id, "run_at": iso_utc(tick), **fields}


class Hourly:
    """A job that is due every hour, and whose last tick was half an hour ago."""

    def __init__(self, job_id: str, **fields: Any) -> None:
        self.id, self.last = job_id, float(int(time.time())) - HOUR / 2
        start = iso_utc(self.last - 24 * HOUR)
        self.row = {"id": job_id, "every": HOUR, "start_at": start, "overlap": "replace", **fields}

    def tick(self, number: int) -> RunId:
        """Return the run id of a tick. The last one is number 0, and those before count down."""
        return RunId(self.id, self.last + number * HOUR)

    def ticks(self, first: int, last: int) -> list[RunId]:
        return [self.tick(number) for number in range(first, last + 1)]

    def known_for_long(self, redis: Redis) -> None:
        redis.hset(keys.entry_key(self.id), "since", repr(self.last - 20 * HOUR))

    def backfill(self, cli: CommandLine, hours: int) -> "subprocess.Popen[str]":
        """Start a backfill of the last hours, including the last tick."""
        return cli.start("backfill", self.id, "--from", f"{hours}h", "--to", "1s", "--json")


def opened(command: "subprocess.Popen[str]") -> list[str]:
    """Return the runs that a command opened, once it has ended with success."""
    out, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0, out + err
    found: list[str] = json.loads(out)["opened"]
    return found
