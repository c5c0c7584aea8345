"""The number of slots of all workers together."""

import time

from helpers import wait_until
from processes import Celery
from redis import Redis

from cron_tasks.broker.presence import ALIVE, announce_worker, count_slots


def test_a_worker_counts_once_under_its_name(redis: Redis) -> None:
    announce_worker(redis, "a@h", 4, 100.0)
    announce_worker(redis, "b@h", 2, 100.0)
    assert count_slots(redis, 101.0) == 6
    announce_worker(redis, "a@h", 10, 102.0)  # restarted: it does not know what it had before
    assert count_slots(redis, 102.0) == 12
    announce_worker(redis, "a@h", 3, 103.0)
    assert count_slots(redis, 103.0) == 5
    assert count_slots(redis, 103.0 + ALIVE) == 3
    assert count_slots(redis, 104.0 + ALIVE) == 1


def test_a_pool_that_shrinks_and_grows(redis: Redis) -> None:
    announce_worker(redis, "a@h", 8, 100.0)
    announce_worker(redis, "a@h", 1, 100.0, before=8)
    assert count_slots(redis, 100.0) == 1
    announce_worker(redis, "a@h", 8, 100.0, before=1)
    assert count_slots(redis, 100.0) == 8


def test_slots_follow_the_pool(redis: Redis, celery: Celery) -> None:
    celery.worker(2)
    wait_until(lambda: count_slots(redis, time.time()) == 2, "the worker")
    # A worker that is ready may not listen yet.
    ping = ("inspect", "--destination", "w0@test", "--timeout", "10", "ping")
    wait_until(lambda: celery.run(*ping).returncode == 0, "an answer of the worker")
    control = ("control", "--destination", "w0@test", "--timeout", "10")
    celery.run(*control, "pool_grow", "3")
    wait_until(lambda: count_slots(redis, time.time()) == 5, "it to have grown")
    celery.run(*control, "pool_shrink", "1")
    wait_until(lambda: count_slots(redis, time.time()) == 4, "it to have shrunk")
