"""Runs that end while Redis is away or takes no writes."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import PATIENCE, wait_until
from processes import Valkey
from redis import Redis
from redis.exceptions import ResponseError
from rest_server import Handler, RestServer, reply
from stage import TICK, Stage

from cron_tasks.ledger.ledger import Ledger
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.worker import conclusions, flights
from cron_tasks.worker.runner import Runner

#: The seconds of an outage, and those for which a run waits if Redis is not at fault.
OUTAGE, LEASE = 2.0, 0.5


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey", appendfsync="always")
    yield server
    server.stop()


@pytest.fixture
def redis(own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """The client of the tests. A disk that is busy may take long for each write."""
    monkeypatch.setattr(conclusions, "LEASE", LEASE)
    with connect(own_valkey.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def hasty(own_valkey: Valkey) -> Iterator[Redis]:
    """The client of a worker, which notices an outage soon."""
    with connect(own_valkey.url, timeout=0.5, retries=1) as client:
        yield client


def make_stage(redis: Redis, hasty: Redis, rest: RestServer, **fields: Any) -> Stage:
    """Return a stage whose worker has a client of its own."""
    stage = Stage(redis, rest, **fields)
    stage.runner = Runner(
        Ledger(hasty, stage.settings),
        Registry(hasty),
        stage.settings,
        "w",
        lambda: stage.now,
        lambda *_: None,
    )
    return stage


def be_killed(valkey: Valkey, _: Redis) -> Callable[[], object]:
    valkey.kill()
    return valkey.start


def freeze(valkey: Valkey, _: Redis) -> Callable[[], object]:
    valkey.freeze()
    return valkey.thaw


def be_full(_: Valkey, redis: Redis) -> Callable[[], object]:
    redis.config_set("maxmemory", 1)
    return lambda: redis.config_set("maxmemory", 0)


def be_read_only(_: Valkey, redis: Redis) -> Callable[[], object]:
    redis.replicaof("127.0.0.1", 1)
    return lambda: redis.replicaof("NO", "ONE")


FAULTS = pytest.mark.parametrize("begin", [be_killed, freeze, be_full, be_read_only])


def pass_outage() -> None:
    until = time.monotonic() + OUTAGE
    wait_until(lambda: time.monotonic() > until, "the outage to last longer than a lease")


@FAULTS
def test_a_call_that_is_answered_meanwhile_ends_ok(
    own_valkey: Valkey,
    redis: Redis,
    hasty: Redis,
    rest: RestServer,
    begin: Callable[..., Callable[[], object]],
) -> None:
    came, may_answer = threading.Event(), threading.Event()

    def answer(handler: Handler) -> bool:
        came.set()
        return may_answer.wait() and reply(200)(handler)

    stage = make_stage(redis, hasty, rest, timeout=1)
    rest.answer = answer
    stage.fire()
    assert stage.runner.run([TICK]) == {TICK: "in flight"}
    assert came.wait(PATIENCE)
    end = begin(own_valkey, redis)
    may_answer.set()
    pass_outage()
    end()
    stage.runner.flights.drain()
    found = queries.find_end(redis, TICK)
    assert found
    assert (found["status"], found["error"], stage.asked) == ("ok", None, 1)


def test_a_worker_that_is_to_end_does_not_wait_for_long(
    own_valkey: Valkey,
    redis: Redis,
    hasty: Redis,
    rest: RestServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flights, "LEASE", LEASE)
    came, may_answer = threading.Event(), threading.Event()

    def answer(handler: Handler) -> bool:
        came.set()
        return may_answer.wait() and reply(200)(handler)

    stage = make_stage(redis, hasty, rest)
    rest.answer = answer
    stage.fire()
    stage.runner.run([TICK])
    assert came.wait(PATIENCE)
    own_valkey.kill()
    draining = threading.Thread(target=stage.runner.flights.drain)
    draining.start()
    draining.join(LEASE * 4)
    assert draining.is_alive(), "the call is not answered yet"
    may_answer.set()
    draining.join(conclusions.OUTAGE / 10)
    assert not draining.is_alive()
    own_valkey.start()
    own_valkey.wait_ready()
    wait_until(lambda: not redis.exists(keys.OPEN), "the end of the run")


@FAULTS
def test_a_step_waits_for_redis(
    own_valkey: Valkey,
    redis: Redis,
    hasty: Redis,
    rest: RestServer,
    begin: Callable[..., Callable[[], object]],
) -> None:
    runner = make_stage(redis, hasty, rest).runner
    end = begin(own_valkey, redis)
    ending = threading.Timer(OUTAGE, end)
    ending.start()
    assert runner.wait_for_redis(lambda: hasty.set(keys.EDITS, 7))
    ending.join()


def test_a_step_does_not_wait_for_long_if_redis_is_not_at_fault(
    redis: Redis, rest: RestServer
) -> None:
    runner = Stage(redis, rest).runner
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        runner.wait_for_redis(lambda: redis.rpush(keys.EDITS, 7))
