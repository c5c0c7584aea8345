"""Real processes, and a service that their jobs call: its own log is the judge of what ran."""

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
    """A request as the service saw it: going, answered, or cut off by the caller.

    `alone` tells whether no other call of the job was going when it came.
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
    """Takes the calls of jobs, each at its own path.

    The calls of jobs in `held` are not answered yet. `answers` are those other than 200, by job or
    run id.
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
        """How the calls of a run ended."""
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
    """A worker and a beat, and the jobs that they are told of; all call `service`."""

    def __init__(self, redis: Redis, rest: RestServer, celery: Celery, service: Service) -> None:
        self.redis, self.rest, self.celery, self.service = redis, rest, celery, service
        self._rows: tuple[dict[str, Any], ...] = ()
        self._lists = 0

    def start(self, *rows: dict[str, Any], slots: int = 4, **settings: str) -> None:
        """Start both with these jobs; `settings` are names without prefix."""
        self.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
        self.celery.env |= {f"CRON_TASKS_{name}": value for name, value in settings.items()}
        self.celery.worker(slots)
        self.beat = self.celery.beat()
        self.lists(*rows)

    def lists(self, *rows: dict[str, Any]) -> None:
        """Have the REST service list these jobs, and return once that counts."""
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
        """Let all that is open end."""
        wait_until(lambda: not self.redis.exists(keys.OPEN), "the end of all runs")

    def ends(self) -> None:
        """Have the jobs end in a moment, and let all that is due by then end."""
        self.lists(*(row | {"end_at": iso_utc(soon(2))} for row in self._rows))
        entries = [keys.entry_key(row["id"]) for row in self._rows]

        def over() -> bool:
            due = self.redis.zmscore(keys.SCHEDULE, entries)
            return all(score is None for score in due)

        wait_until(over, "the last ticks")
        self.settles()

    def state(self, run_id: str) -> str:
        """Where an open run is: p(ending), r(unning), w(aiting) or q(ueued); "" is nowhere."""
        return (self.redis.hget(keys.OPEN, run_id) or "")[:1]

    def reaches(self, run_id: str, *states: str) -> None:
        wait_until(lambda: self.state(run_id) in states, f"{run_id} as one of {states}")


def waits_for_pokes(client: dict[str, str]) -> bool:
    """Return whether a client, as CLIENT LIST shows it, is a beat that waits."""
    return client["cmd"] == "blpop" and "b" in client["flags"]


def wait_for_syncs(redis: Redis) -> None:
    """Wait until every sync that was asked for has ended.

    A poke that beat has taken out of its list and not yet noted is in no key. Beat does not
    wait for the next one then.
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
    """Have beat find a job as if it had been known since `known`, and not fired since `due`."""
    key = keys.entry_key(job_id)
    redis.hset(key, "since", repr(known))
    redis.hset(key, "meta", '{"last_run_at": null, "total_run_count": 1}')
    redis.zadd(keys.SCHEDULE, {key: due})


def outcomes(commands: CommandLine, run_id: str) -> set[str]:
    """What the commands that know single runs say of the end of one."""
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
    """A whole second that comes at least so many seconds from now."""
    return float(int(time.time() + seconds) + 1)


def once(job_id: str, tick: float, **fields: Any) -> dict[str, Any]:
    """A job with a single tick."""
    return {"id": job_id, "run_at": iso_utc(tick), **fields}


class Hourly:
    """A job of every hour, whose last tick was half an hour ago."""

    def __init__(self, job_id: str, **fields: Any) -> None:
        self.id, self.last = job_id, float(int(time.time())) - HOUR / 2
        start = iso_utc(self.last - 24 * HOUR)
        self.row = {"id": job_id, "every": HOUR, "start_at": start, "overlap": "replace", **fields}

    def tick(self, number: int) -> RunId:
        """The run id of a tick; the last one is number 0, those before count down."""
        return RunId(self.id, self.last + number * HOUR)

    def ticks(self, first: int, last: int) -> list[RunId]:
        return [self.tick(number) for number in range(first, last + 1)]

    def known_for_long(self, redis: Redis) -> None:
        redis.hset(keys.entry_key(self.id), "since", repr(self.last - 20 * HOUR))

    def backfill(self, cli: CommandLine, hours: int) -> "subprocess.Popen[str]":
        """Start to make up for the ticks of the last hours, the last tick included."""
        return cli.start("backfill", self.id, "--from", f"{hours}h", "--to", "1s", "--json")


def opened(command: "subprocess.Popen[str]") -> list[str]:
    """The runs that a command opened, once it has ended well."""
    out, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0, out + err
    found: list[str] = json.loads(out)["opened"]
    return found
