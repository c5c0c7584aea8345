"""Ticks that an edit, a pause or a removal overtook are notified and listed like other missed
ones."""

import json
import time
from typing import Any

import pytest
from command_line import Quick
from redis import Redis
from rest_server import RestServer

from cron_tasks.audit.account_reader import read_accounts
from cron_tasks.audit.tally import audit_job
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.runs.overtaken import list_overtaken
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

START = 1_799_971_200.0  # 2027-01-15T00:00:00Z
HOUR = 3600.0
FIRST = RunId("7", START + HOUR)
ROW: dict[str, Any] = {"id": 7, "name": "Nightly report", "every": 3600}
ROW |= {"notify": {"on": ["missed"], "queue": "queue:mine"}}


class World:
    def __init__(self, redis: Redis, rest: RestServer) -> None:
        self.redis, self.rest, self.now = redis, rest, START
        self.settings = Settings(rest_url=rest.url)
        self.reconciler = Reconciler(redis, self.settings)

    def sync(self, *rows: dict[str, Any]) -> None:
        self.rest.jobs = [*rows, {"id": 1, "name": "Another", "every": 86400}]
        report = self.reconciler.sync(lambda: self.now)
        assert report is not None
        assert report.state == "ok"

    def change(self, how: str, row: dict[str, Any]) -> None:
        if how == "paused":
            passed = Registry(self.redis).pause("7", "stocktaking", self.now)
            ledger = Ledger(self.redis, self.settings)
            for _ in range(2):
                list_overtaken(ledger, self.settings, passed, "paused", self.now)
        else:
            self.sync(*([row | {"every": 60}] if how == "edited" else []))

    def told(self, queue: str = "queue:mine") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.redis.lrange(queue, 0, -1)]


@pytest.fixture
def world(redis: Redis, rest: RestServer) -> World:
    return World(redis, rest)


CHANGES = {
    "edited": "the job's schedule was changed",
    "removed": "the job was removed",
    "paused": "the job was paused",
}


@pytest.mark.parametrize("how", CHANGES)
def test_ticks_that_a_change_overtakes_are_told_once_and_listed(world: World, how: str) -> None:
    world.sync(ROW)
    world.now = START + 3.5 * HOUR  # no beat was there at 1, 2 and 3
    world.change(how, ROW)
    (told,) = world.told()
    until = RunId("", START + 3 * HOUR)[1:]
    assert told["error"] == f"missed until {until}: {CHANGES[how]} before it could start"
    assert (told["id"], told["event"], told["attempt"]) == (f"{FIRST}/missed", "missed", 0)
    (listed,) = [each for each in queries.list_ended(world.redis) if each["job_id"] == "7"]
    assert (listed["run_id"], listed["status"], listed["reason"]) == (FIRST, "missed", how)
    assert listed["until"] == until
    assert [each["run_id"] for each in queries.list_ended(world.redis, "7", "missed")] == [FIRST]
    own = [each["run_id"] for each in queries.list_ended(world.redis, "7")]
    assert own == ([] if how == "removed" else [FIRST])
    shown = queries.describe_run(world.redis, RunId("7", START + 2 * HOUR))
    assert shown is not None
    assert (shown["since"], shown["attempts"]) == (FIRST[2:], [])
    (account,) = read_accounts(world.redis, ["7"], [int(START // 86400)])
    found = audit_job(account, START, world.now, world.now)
    assert (found.expected, found.missed, found.lost) == (3, {how: 3}, [])
    assert world.redis.zcard(keys.ACCOUNT_PREFIX + "7") == 1


def test_a_job_whose_entry_another_program_deleted_keeps_its_history(world: World) -> None:
    world.sync(ROW)
    world.now = START + 1.5 * HOUR
    passed = Registry(world.redis).pause("7", "stocktaking", world.now)
    world.redis.delete(keys.entry_key("7"))
    ledger = Ledger(world.redis, world.settings)
    list_overtaken(ledger, world.settings, passed, "paused", world.now)
    assert [each["run_id"] for each in queries.list_ended(world.redis, "7")] == [FIRST]


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("notify", [{"on": ["failure"]}, {"on": ["missed"], "stale_after": 600}])
def test_what_the_job_does_not_want_to_be_told_is_listed_alone(
    world: World, how: str, notify: dict[str, Any]
) -> None:
    row = ROW | {"notify": notify | {"queue": "queue:mine"}}
    world.sync(row)
    world.now = START + 1.5 * HOUR
    world.change(how, row)
    assert world.told() == []
    (listed,) = [each for each in queries.list_ended(world.redis) if each["job_id"] == "7"]
    assert (listed["run_id"], listed["until"]) == (FIRST, FIRST[2:])
    assert listed.get("untold") == ("too old" if "stale_after" in notify else None)


def test_what_counts_is_what_the_job_wanted_before_the_edit(world: World) -> None:
    world.sync(ROW)
    world.now = START + 1.5 * HOUR
    world.sync(ROW | {"every": 60, "notify": {"on": []}, "name": "Another name"})
    (told,) = world.told()
    assert told["job_name"] == "Nightly report"


def test_a_change_that_overtakes_nothing_tells_nothing(world: World) -> None:
    world.sync(ROW)
    world.now = START + 0.5 * HOUR
    for how in ("edited", "paused", "removed"):
        world.change(how, ROW)
    assert world.told() == []
    assert list(queries.list_ended(world.redis)) == []


def test_a_document_that_cannot_be_read_keeps_its_account(world: World) -> None:
    world.sync(ROW)
    world.redis.hset(keys.entry_key("7"), "job", "{")
    world.now = START + 1.5 * HOUR
    world.change("removed", ROW)
    (line,) = world.redis.zrange(keys.ACCOUNT_PREFIX + "7", 0, -1)
    assert json.loads(line)["reason"] == "removed"
    assert world.told() == []


def test_a_pause_by_hand_tells(quick: Quick, world: World) -> None:
    world.now = time.time() - 2 * HOUR
    world.sync(ROW)
    quick.run("jobs", "pause", "7", "--reason", "stocktaking")
    (told,) = world.told()
    assert "the job was paused before it could start" in told["response"]
    listed = quick.json("runs", "7")
    assert [each["run_id"] for each in listed] == [told["run_id"]]
