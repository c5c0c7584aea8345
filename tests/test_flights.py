"""Hundreds of calls in flight on real workers that are killed, frozen, and stopped.

The service's own log shows what was called.
"""

import json
import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import psutil
import pytest
from calls_server import CallsServer
from helpers import NEVER_DUE, PATIENCE, wait_until
from processes import Celery, Process
from redis import Redis
from rest_server import RestServer
from test_policies import run

from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.worker.room import HOLD, Room

MANY = 300
POOLS = pytest.mark.parametrize(
    "pool",
    [
        *("prefork", "threads", "solo"),
        pytest.param(
            "gevent", marks=pytest.mark.skipif(not find_spec("gevent"), reason="no gevent")
        ),
    ],
)


class Crowd:
    """A worker of two processes, a beat, and a number of jobs that all run at once."""

    def __init__(
        self, redis: Redis, rest: RestServer, celery: Celery, service: CallsServer
    ) -> None:
        self.redis, self.rest, self.celery, self.service = redis, rest, celery, service
        self.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"

    def start(self, count: int, *options: str, concurrency: int = 2, **fields: Any) -> Process:
        """Start a worker and a beat with `count` jobs, whose calls are held."""
        self.ids = [str(n) for n in range(count)]
        self.service.held = set(self.ids)
        self.rest.jobs = [
            {"id": each, "name": each, **NEVER_DUE, "timeout": 600, **fields}
            | {"action": {"type": "http", "method": "POST", "url": self.service.url(each)}}
            for each in self.ids
        ]
        self.worker = self.celery.worker(concurrency, *options)
        self.celery.beat()
        wait_until(lambda: self.redis.hlen(keys.JOBS) == count, "the first sync")
        self.worker.wait_for("ready")
        return self.worker

    def fly(self) -> None:
        """Run all jobs, and return once all their calls are in flight."""
        run(self.redis, *self.ids)
        wait_until(lambda: len(self.service.going) == len(self.ids), "all calls")

    def pids(self) -> Counter[int]:
        """Return the number of runs that each process has in flight."""
        states = map(State.parse, self.redis.hvals(keys.OPEN))
        return Counter(int(state.worker.split("/")[1]) for state in states if state.worker)

    def settle(self) -> None:
        wait_until(lambda: not self.redis.exists(keys.OPEN), "the end of all runs")

    def ends(self) -> dict[str, dict[str, Any]]:
        """Return the record of each run, by job. Fails if a run has more than one."""
        lines = [json.loads(line) for line in self.redis.lrange(keys.RECENT, 0, -1)]
        assert len({line["run_id"] for line in lines}) == len(lines)
        return {RunId.stored(line["run_id"]).job_id: line for line in lines}


@pytest.fixture
def service() -> Iterator[CallsServer]:
    with CallsServer() as service:
        yield service


@pytest.fixture
def crowd(redis: Redis, rest: RestServer, celery: Celery, service: CallsServer) -> Crowd:
    return Crowd(redis, rest, celery, service)


@POOLS
def test_every_pool_has_hundreds_in_flight(crowd: Crowd, service: CallsServer, pool: str) -> None:
    """In flight they occupy no slot, so a notification runs beside them."""
    crowd.start(MANY, "--pool", pool, concurrency=2 if pool == "prefork" else 1)
    crowd.fly()
    assert len(crowd.pids()) == (2 if pool == "prefork" else 1)
    crowd.rest.jobs.append({"id": "beside", "name": "x", **NEVER_DUE})
    crowd.redis.lpush(keys.POKE, "*")
    run(crowd.redis, "beside")
    wait_until(lambda: "beside" in crowd.ends(), "the notification")
    assert len(service.going) == MANY
    service.release()
    crowd.settle()
    assert Counter(line["status"] for line in crowd.ends().values()) == {"ok": MANY + 1}
    assert service.ends() == {"answered": MANY}


@POOLS
def test_a_worker_that_is_to_end_lets_its_calls_end(
    crowd: Crowd, service: CallsServer, pool: str
) -> None:
    worker = crowd.start(MANY, "--pool", pool, concurrency=2 if pool == "prefork" else 1)
    crowd.fly()
    worker.signal(signal.SIGTERM)
    worker.wait_for("Warm shutdown")
    assert len(service.going) == MANY
    service.release()
    crowd.settle()
    assert worker.popen.wait(PATIENCE) == 0
    assert Counter(line["status"] for line in crowd.ends().values()) == {"ok": MANY}
    assert service.ends() == {"answered": MANY}


def test_a_process_that_is_to_be_replaced_lets_its_calls_end(
    crowd: Crowd, service: CallsServer
) -> None:
    crowd.start(MANY, "--max-tasks-per-child", "1")
    crowd.fly()
    pids = set(crowd.pids())
    service.release()
    crowd.settle()
    run(crowd.redis, "7")
    crowd.settle()
    assert Counter(line["status"] for line in crowd.ends().values()) == {"ok": MANY}
    assert service.ends() == {"answered": MANY + 1}
    wait_until(lambda: not any(map(psutil.pid_exists, pids)), "both processes to be replaced")


@pytest.mark.parametrize("whole", [False, True])
def test_a_killed_process_loses_and_doubles_no_run(
    crowd: Crowd, service: CallsServer, whole: bool
) -> None:
    """Each run that it had in flight fails, because a call is not repeated without a retry."""
    worker = crowd.start(MANY)
    crowd.fly()
    (victim, lost), *_ = crowd.pids().items()
    if whole:
        worker.kill()
        lost = MANY
        crowd.celery.worker(2)
    else:
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: service.ends()["cut off"] == lost, "the calls to be cut off")
    service.release()
    crowd.settle()
    ends = crowd.ends()
    assert Counter(line["error"] for line in ends.values()) == Counter(
        {"its worker died": lost, None: MANY - lost}
    )
    assert all(len(calls) == 1 for calls in service.saw.values())
    assert len(service.saw) == MANY


def test_a_frozen_process_keeps_its_runs_until_it_is_killed(
    crowd: Crowd, service: CallsServer
) -> None:
    """The main process renews its leases, so that no run overlaps its calls."""
    # On a busy machine, the first calls may end before the last ones begin.
    crowd.start(MANY, timeout=6, retry={"max_attempts": 9, "backoff": 0})
    crowd.fly()
    frozen = next(iter(crowd.pids()))
    os.kill(frozen, signal.SIGSTOP)
    states = crowd.redis.hgetall(keys.OPEN).items()
    held = {
        RunId.stored(each).job_id: State.parse(state).attempt
        for each, state in states
        if f"/{frozen}/" in state
    }
    wait_until(lambda: '"run.killed"' in crowd.worker.output, "its death")
    assert not service.overlapping
    service.release()
    crowd.settle()
    assert not service.overlapping
    ends = crowd.ends()
    assert len(ends) == MANY
    assert held
    for each, attempt in held.items():
        assert (ends[each]["status"], ends[each]["attempt"]) == ("ok", attempt + 1)


def test_one_of_many_is_cancelled(crowd: Crowd, service: CallsServer) -> None:
    crowd.start(MANY)
    crowd.fly()
    (run_id,) = [each for each in crowd.redis.hkeys(keys.OPEN) if each.startswith("7@")]
    Ledger(crowd.redis, Settings()).stop([run_id], "cancelled|")
    wait_until(lambda: service.saw[run_id] == ["cut off"], "the call to be cut off")
    assert len(service.going) == MANY - 1
    service.release()
    crowd.settle()
    ends = crowd.ends()
    assert (ends["7"]["status"], ends["7"]["reason"]) == ("skipped", "cancelled")
    assert Counter(line["status"] for line in ends.values()) == {"ok": MANY - 1, "skipped": 1}


def test_each_call_ends_by_its_own_timeout(crowd: Crowd, service: CallsServer) -> None:
    crowd.start(MANY)
    for row in crowd.rest.jobs[::2]:
        row["timeout"] = 3
    crowd.redis.lpush(keys.POKE, "*")
    crowd.celery.run("call", "cron_tasks.sync_jobs")
    wait_until(lambda: '"timeout":3' in (crowd.redis.hget(keys.entry_key("0"), "job") or ""), "it")
    run(crowd.redis, *crowd.ids)

    def half_are_cut_off() -> bool:
        return (service.ends()["cut off"], len(service.going)) == (MANY // 2, MANY // 2)

    wait_until(half_are_cut_off, "every second call to end")
    service.release()
    crowd.settle()
    assert Counter(line["error"] and line["error"].partition(": ")[2]
                   for line in crowd.ends().values()) == Counter(
        {"no whole answer within 3 s": MANY // 2, None: MANY // 2}
    )  # fmt: skip


def test_a_host_that_hangs_fills_its_own_room_alone(crowd: Crowd, service: CallsServer) -> None:
    """The worker may open few connections, so there is room for few calls."""
    with CallsServer() as other:
        crowd.start(MANY)
        other_ids = [f"other-{n}" for n in range(100)]
        crowd.rest.jobs += [
            {
                "id": each,
                "name": each,
                **NEVER_DUE,
                "action": {"type": "http", "url": other.url(each)},
            }
            for each in other_ids
        ]
        crowd.redis.lpush(keys.POKE, "*")
        wait_until(lambda: crowd.redis.hlen(keys.JOBS) == MANY + 100, "the sync")
        few = (261, 261)  # Room for 100 runs, of which one host gets 50.
        for process in psutil.Process(crowd.worker.pid).children():
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, few)
        run(crowd.redis, *crowd.ids)
        wait_until(lambda: len(service.going) == 100, "the host to be full")
        run(crowd.redis, *other_ids)
        wait_until(lambda: other.ends() == {"answered": 100}, "the calls of the other host")
        assert len(service.going) == 100
        wait_until(lambda: '"runs.held_back"' in crowd.worker.output, "the others to be held back")
        service.release()
        crowd.settle()
    assert Counter(line["status"] for line in crowd.ends().values()) == {"ok": MANY + 100}
    assert service.ends() == {"answered": MANY}


def test_answers_fill_no_memory(crowd: Crowd, service: CallsServer) -> None:
    """Only the beginning of a long answer is read."""
    crowd.start(MANY)
    crowd.fly()
    before = {pid: psutil.Process(pid).memory_info().rss for pid in crowd.pids()}
    service.body = b"x" * (4 << 20)
    service.release()
    crowd.settle()
    for pid, used in before.items():
        assert psutil.Process(pid).memory_info().rss < used + (100 << 20)


def test_room_is_shared() -> None:
    room = Room(most=4, most_at_one=2)
    assert [room.take("a", 1.0) for _ in range(3)] == [True, True, False]
    assert not room.is_stuck("a", 1.0 + HOLD)
    assert room.is_stuck("a", 1.1 + HOLD)
    assert not room.is_stuck("b", 1.1 + HOLD)
    assert [room.take("b", 5.0), room.take("c", 5.0), room.take("d", 5.0)] == [True, True, False]
    assert not room.is_stuck("d", 5.0)
    assert room.is_stuck("d", 5.1 + HOLD)
    room.leave("a", 9.0)
    assert not room.is_stuck("d", 9.0)
    assert room.take("a", 9.0)
