"""Somebody else writes into our keys: another type, a lock without an end, or garbage."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from applying import apply
from driven import Beat
from redis import Redis
from rest_server import RestServer

from cron_tasks.audit.account_reader import read_accounts
from cron_tasks.audit.tally import audit_job
from cron_tasks.beat.leadership import Leadership
from cron_tasks.health.service_checks import check_registry
from cron_tasks.health.system import System
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.registry import Registry
from cron_tasks.repair.foreign import KINDS, LOCKS
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.state import load_status

DOCS = Path(__file__).parent.parent / "docs" / "keys.md"


@pytest.fixture
def thirty(beat: Beat) -> Beat:
    """A beat that compares at each turn, and jobs that it fires in batches."""
    beat.register(*({"id": n, "name": "plain", "every": 1} for n in range(30)))
    beat.run(2)
    return beat


def write_another_type(redis: Redis, key: str) -> None:
    redis.delete(key)
    if KINDS.get(key, "hash") == "string":
        redis.rpush(key, "garbage")
    else:
        redis.set(key, "garbage")


def fires_again(beat: Beat) -> bool:
    for _ in range(3):
        beat.scheduler._compare_at = 0.0
        beat.tick()
    return len(beat.run(2)) == 30


def test_jobs_go_on_whatever_key_has_another_type(thirty: Beat, redis: Redis) -> None:
    # Beat waits on WAKE between two turns. Here a test drives it.
    for key in sorted(KINDS.keys() - {keys.LEADER_LOCK, keys.WAKE}):
        write_another_type(redis, key)
        assert fires_again(thirty), key
        assert redis.type(key) in ("none", KINDS[key])
    redis.delete(keys.MENDED)


PREFIXES = (
    *(keys.HISTORY_PREFIX, keys.MINUTES_PREFIX, keys.ACCOUNT_PREFIX),
    *(keys.VERSIONS_PREFIX, keys.FOLDED_PREFIX, keys.LINE_PREFIX),
)
GARBAGE: dict[str, Callable[[Redis, str], Any]] = {
    keys.MINUTES_PREFIX: lambda redis, key: redis.lpush(key, "garbage"),
    keys.ACCOUNT_PREFIX: lambda redis, key: redis.zadd(key, {"garbage": 1.0, '"7"': 2.0}),
    keys.VERSIONS_PREFIX: lambda redis, key: redis.lpush(key, "garbage", "7"),
}


def live_through(beat: Beat) -> None:
    """Edit, pause, resume, audit, remove and list a job, beside another one."""
    registry = Registry(beat.redis)
    for every in (2, 1):
        beat.register(*({"id": n, "name": "plain", "every": every} for n in (1, 2)))
        registry.pause("1", "stocktaking", beat.clock.now)
        registry.resume("1", beat.clock.now)
    for account in read_accounts(beat.redis, ["1", "2"], [0]):
        audit_job(account, beat.clock.now - 60, beat.clock.now, beat.clock.now)
    apply(beat.redis, Changes(removed=["1", "2"]), beat.clock.now)
    beat.register(*({"id": n, "name": "plain", "every": 1} for n in (1, 2)))
    assert len(beat.run(2)) == 30


def test_jobs_go_on_whatever_is_written_of_one_of_them(thirty: Beat, redis: Redis) -> None:
    for prefix in PREFIXES:
        redis.set(prefix + "1", "garbage", ex=600)
        live_through(thirty)
        redis.delete(prefix + "1")
    for prefix, write in GARBAGE.items():
        write(redis, prefix + "1")
        redis.expire(prefix + "1", 600)
        live_through(thirty)
        redis.delete(prefix + "1")


def test_a_count_of_another_type_is_mended(thirty: Beat, redis: Redis) -> None:
    key = f"{keys.COUNT_PREFIX}{int(thirty.clock.now // 86400)}"
    redis.set(key, "garbage")
    assert fires_again(thirty)
    assert not redis.exists(key)


def endless(redis: Redis) -> None:
    redis.set(keys.LEADER_LOCK, "somebody")


def no_lock(redis: Redis) -> None:
    redis.delete(keys.LEADER_LOCK)
    redis.rpush(keys.LEADER_LOCK, "somebody")


@pytest.mark.parametrize("spoil", [endless, no_lock])
@pytest.mark.parametrize("leads", [True, False])
def test_a_lock_that_never_ends_is_nobodys(
    redis: Redis, spoil: Callable[[Redis], None], leads: bool
) -> None:
    leadership = Leadership(redis, 60.0)
    if leads:
        assert leadership.hold()
        leadership._extended = 0.0
    spoil(redis)
    assert not leadership.hold()
    assert leadership.hold()
    assert 0 < redis.ttl(keys.LEADER_LOCK) <= 60


def test_a_lock_of_another_beat_is_left_alone(redis: Redis) -> None:
    assert Leadership(redis, 60.0).hold()
    other = Leadership(redis, 60.0)
    assert not other.hold()
    assert not other.hold()


@pytest.mark.parametrize("value", ["garbage", "", "2026 x", "garbage 7", "2026-13 Z 7"])
def test_garbage_about_one_job_holds_up_no_job(thirty: Beat, redis: Redis, value: str) -> None:
    redis.hset(keys.FIRED, mapping=dict.fromkeys(("1", "2"), value))
    assert len(thirty.run(2)) == 30
    assert not redis.hexists(keys.FIRED, "garbage")
    # An edit moves the value into the entry.
    redis.hset(keys.FIRED, "1", value)
    thirty.register({"id": 1, "name": "edited", "every": 1})
    assert "1" in thirty.run(2)


def test_garbage_about_the_last_sync_counts_as_nothing(redis: Redis) -> None:
    redis.hset(keys.SOURCE, mapping=dict.fromkeys(("since", "last_read", "rival_at"), "garbage"))
    status = load_status(redis)
    assert (status.since, status.last_read, status.rival_at) == (None, None, None)


@pytest.mark.parametrize("garbage", [b"a\nb", b"\x00", b"\xe4\xb8\xad", b"\xff"])
def test_validators_that_cannot_be_sent_are_none(
    redis: Redis, rest: RestServer, garbage: bytes
) -> None:
    rest.jobs = [{"id": 1, "name": "x", "every": 60}]
    reconciler = Reconciler(redis, Settings(rest_url=rest.url))
    assert reconciler.sync(time.time).state == "ok"
    redis.hset(keys.SOURCE, "etag", garbage)
    assert reconciler.sync(time.time).state == "ok"


def test_doctor_names_the_keys(system: System, redis: Redis) -> None:
    redis.set(keys.OPEN, "garbage")
    redis.set(keys.SYNC_LOCK, "somebody")
    assert check_registry(system) == (
        False,
        "2 keys of another type than ours, or a lock without an end: "
        f"{keys.OPEN}, {keys.SYNC_LOCK}",
        "",
    )
    redis.delete(keys.OPEN, keys.SYNC_LOCK)


def test_each_key_of_which_there_is_one_has_its_type() -> None:
    rows = re.findall(
        r"^\| `(cron_tasks:[a-z_:]+|redbeat:+[a-z]+)` \| ([a-z ]+) \|", DOCS.read_text(), re.M
    )
    kinds = {name: "zset" if kind == "sorted set" else kind for name, kind in rows}
    kinds.pop("redbeat::statics")
    assert kinds == KINDS
    assert set(LOCKS) <= kinds.keys()
