"""Pokes: the first applies at once, many cost few reads, and the last one is never lost."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from driven import Beat
from helpers import PATIENCE, wait_until
from live import wait_for_syncs, waits_for_pokes
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.beat.pokes import SYNC_EVERY, Pokes
from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys

LATER = {"id": 1, "name": "later", "run_at": "2099-01-01T00:00:00Z"}


def syncs(redis: Redis) -> int:
    """Return the requested syncs in their Celery queue."""
    rows = redis.lrange(keys.SYNC_QUEUE, 0, -1)
    return [json.loads(row)["headers"]["task"] for row in rows].count(keys.SYNC_TASK)


def reads(rest: RestServer) -> int:
    return len(rest.requests)


def test_a_storm_of_pokes_costs_few_reads(redis: Redis, rest: RestServer, celery: Celery) -> None:
    rest.jobs = [LATER]
    celery.worker()
    celery.beat()
    wait_until(lambda: Registry(redis).count() == 1, "the first sync")
    wait_for_syncs(redis)
    before, begun = reads(rest), time.monotonic()
    for number in range(3000):
        rest.jobs = [LATER | {"id": number}]
        redis.lpush(keys.POKE, str(number))
        time.sleep(0.001)
    took = time.monotonic() - begun
    wait_until(lambda: "2999" in Registry(redis).read_index(), "the last edit")
    # Each sync that is asked for while another one runs has that one read once more.
    assert reads(rest) - before <= 2 * (took / SYNC_EVERY + 2)
    wait_until(lambda: not redis.exists(keys.POKE), "the end of the pokes")


@pytest.fixture
def asked() -> list[float]:
    return []


@pytest.fixture
def pokes(redis_url: str, asked: list[float]) -> Iterator[Pokes]:
    made = Pokes(redis_url, lambda: asked.append(time.monotonic()))
    yield made
    made.close()


def test_the_first_counts_at_once_and_the_next_wait_in_redis(
    redis: Redis, pokes: Pokes, asked: list[float]
) -> None:
    begun = time.monotonic()
    redis.rpush(keys.POKE, *range(10))
    assert pokes.wait(5)
    assert (len(asked), redis.llen(keys.POKE)) == (1, 0)
    redis.lpush(keys.POKE, "later")
    wait_until(lambda: len(asked) == 2 or pokes.wait(0.2) is None, "the second sync")
    assert asked[1] - begun >= SYNC_EVERY
    assert not redis.exists(keys.POKE)
    # After a long stop, it may find that its quiet time ends, and look once more.
    wait_until(lambda: not pokes.wait(0.05), "it to find nothing")
    assert len(asked) == 2


def test_pokes_stay_in_redis_until_they_are_acted_upon(
    redis: Redis, pokes: Pokes, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the next leader finds them."""
    # Otherwise the poke would count if this process stopped for a second.
    monkeypatch.setattr("cron_tasks.beat.pokes.SYNC_EVERY", PATIENCE)
    pokes.request_sync()
    redis.lpush(keys.POKE, "*")
    redis.lpush(keys.WAKE, "now")
    assert pokes.wait(5), "an edit wakes it all the same"
    assert not pokes.wait(0.05)
    assert (len(asked), redis.llen(keys.POKE)) == (1, 1)


def test_a_poke_that_arrives_while_a_sync_is_asked_for_is_another(
    redis: Redis, redis_url: str
) -> None:
    pokes = Pokes(redis_url, lambda: redis.lpush(keys.POKE, "in between"))
    pokes.request_sync()
    pokes.close()
    assert redis.llen(keys.POKE) == 1


def test_a_poke_taken_by_a_connection_that_broke_counts(
    redis: Redis, pokes: Pokes, asked: list[float]
) -> None:
    assert not pokes.wait(0.01)
    with ThreadPoolExecutor() as pool:
        has_to_look = pool.submit(pokes.wait, PATIENCE)
        wait_until(lambda: any(map(waits_for_pokes, redis.client_list())), "it to wait")
        redis.client_kill_filter(_type="normal", skipme=True)
        assert has_to_look.result(PATIENCE)
    assert len(asked) == 1


def test_ticks_that_leave_no_time_to_wait_do_not_hide_a_poke(beat: Beat) -> None:
    waiting, scheduler = syncs(beat.redis), beat.scheduler
    beat.redis.lpush(keys.POKE, "*")

    def seen() -> bool:
        scheduler._wait(beat.clock.now + 0.01)
        return syncs(beat.redis) > waiting

    wait_until(seen, "the sync")
    assert not beat.redis.exists(keys.POKE)


@pytest.mark.parametrize("key", [keys.POKE, keys.WAKE])
def test_a_key_of_another_type_is_deleted(beat: Beat, key: str) -> None:
    waiting = syncs(beat.redis)
    beat.redis.set(key, "no list")
    wait_until(lambda: beat.scheduler.tick() is None or syncs(beat.redis) > waiting, "a sync")
    assert not beat.redis.exists(key)


def test_who_leads_next_asks_for_a_sync(redis: Redis, rest: RestServer, celery: Celery) -> None:
    rest.jobs = [LATER]
    celery.worker()
    beat = celery.beat()
    wait_until(lambda: Registry(redis).count() == 1, "the first sync")
    rest.jobs = [LATER, LATER | {"id": 2}]
    redis.lpush(keys.POKE, "*")
    beat.kill()
    rest.jobs = [*rest.jobs, LATER | {"id": 3}]
    redis.lpush(keys.POKE, "*")
    celery.beat()
    wait_until(lambda: Registry(redis).count() == 3, "both edits")
    wait_until(lambda: not redis.exists(keys.POKE), "the end of the pokes")
