"""The index of jobs, in memory and in Redis, and caches that stay bounded."""

from collections.abc import Callable

import pytest
from redis import Redis

from cron_tasks.registry.index import HeldIndex, Index, format_value, has_fingerprint
from cron_tasks.registry.stored_index import StoredIndex
from cron_tasks.store import keys
from cron_tasks.store.caches import drop_oldest

VALUES = {"1": "a", "2": "b", "3": ""}


def stored(redis: Redis) -> Index:
    redis.hset(keys.JOBS, mapping=VALUES)
    return StoredIndex(redis)


@pytest.mark.parametrize("make", [lambda _: HeldIndex(VALUES), stored], ids=["held", "stored"])
def test_an_index(redis: Redis, make: Callable[[Redis], Index]) -> None:
    index = make(redis)
    assert len(index) == 3
    assert list(index.look_up(["2", "9", "3"])) == ["b", None, ""]
    assert list(index.look_up([])) == []
    assert index.find_others(3, {"1", "2", "3", "9"}) == []
    assert sorted(index.find_others(1, {"2", "9"})) == ["1", "3"]
    redis.delete(keys.JOBS)


def test_an_empty_index(redis: Redis) -> None:
    index = StoredIndex(redis)
    assert (len(index), list(index.look_up(["1"])), index.find_others(0, {"1"})) == (0, [None], [])


def test_a_job_that_came_meanwhile_is_another(redis: Redis) -> None:
    """The plan leaves out the jobs that were written while the list was read."""
    index = stored(redis)
    redis.hdel(keys.JOBS, "1")
    redis.hset(keys.JOBS, "4", "d")
    assert index.find_others(2, {"2", "3"}) == ["4"]
    redis.delete(keys.JOBS)


def test_the_letter_of_a_value() -> None:
    documents = [b'{"name":"\\"queue\\":"}', b'{"name":"x","chat_id":1}', b'{"queue":"q"}']
    values = [format_value("f" * 16, each) for each in documents]
    assert [value[16:] for value in values] == ["n", "c", "s"]
    assert all(has_fingerprint(value, "f" * 16) for value in [*values, "f" * 16])
    assert not any(has_fingerprint(value, "f" * 16) for value in ["", None, "g" * 16 + "n"])


def test_a_cache_forgets_its_oldest_entries() -> None:
    cache = dict.fromkeys(range(100))
    drop_oldest(cache, 100)
    assert len(cache) == 100
    cache[100] = None
    drop_oldest(cache, 100)
    assert list(cache) == list(range(11, 101))
