"""The feed of changes on real processes: one follows, and another takes over."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from feed_server import FeedServer
from helpers import NEVER_DUE, PATIENCE, wait_until
from live import Service
from processes import Celery, Process, Valkey, celery_processes
from redis import Redis
from redis.exceptions import RedisError
from rest_server import JOBS_PATH

from cron_tasks.errors import CronTasksError
from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys
from cron_tasks.store.client import connect


def job(job_id: object, name: str = "x", **fields: object) -> dict[str, Any]:
    return {"id": job_id, "name": name} | NEVER_DUE | fields


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    with FeedServer([job(n) for n in range(1, 4)]) as server:
        yield server


@pytest.fixture
def fed(celery: Celery, feed: FeedServer) -> Celery:
    """Start Celery with a service that has a feed. The list itself is read once an hour."""
    celery.env |= {"CRON_TASKS_REST_URL": feed.url, "CRON_TASKS_SYNC_INTERVAL": "3600"}
    return celery


def named(redis: Redis, job_id: str, name: str) -> Callable[[], bool]:
    def is_named() -> bool:
        try:
            return Registry(redis).get_job(job_id).name == name
        except (CronTasksError, RedisError):
            return False

    return is_named


def edit_counts(redis: Redis, feed: FeedServer, name: str) -> None:
    """Edit a job, and check that the edit is applied although nobody reads the list."""
    feed.put(job(1, name))
    wait_until(named(redis, "1", name), f"the edit {name}")


def lists_read(feed: FeedServer) -> int:
    return [path for _, path, _ in feed.requests].count(JOBS_PATH)


def is_followed(feed: FeedServer) -> Callable[[], bool]:
    return lambda: feed.waiting == 1


def started(redis: Redis, feed: FeedServer, fed: Celery, workers: int = 1) -> list[Process]:
    found = [fed.worker(1) for _ in range(workers)]
    fed.beat()
    wait_until(is_followed(feed), "the feed to be followed")
    return found


def follower_of(feed: FeedServer, workers: list[Process]) -> psutil.Process:
    """Return the process that waits for the feed, once no other has a connection."""

    def find_ports() -> set[int]:
        found = {port for _, port in list(feed.clients) if _is_open(port, workers)}
        return found if len(found) == 1 else set()

    (port,) = wait_until(find_ports, "only one connection")
    return next(each for each in _family(workers) if port in _ports(each))


def _family(workers: list[Process]) -> list[psutil.Process]:
    return [each for worker in workers for each in psutil.Process(worker.pid).children()]


def _ports(process: psutil.Process) -> set[int]:
    links = process.net_connections("tcp")
    return {link.laddr.port for link in links if link.status == psutil.CONN_ESTABLISHED}


def _is_open(port: int, workers: list[Process]) -> bool:
    return any(port in _ports(each) for each in _family(workers))


def test_an_edit_counts_by_the_feed_while_every_slot_is_busy(
    redis: Redis, feed: FeedServer, fed: Celery, service: Service
) -> None:
    fed.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
    service.held.add("busy")
    feed.jobs.append({"id": "busy", "name": "busy", "every": 1, "action": service.action("busy")})
    started(redis, feed, fed)
    wait_until(lambda: service.going(), "the call that keeps the only slot busy")
    lists = lists_read(feed)
    for number in range(3):
        edit_counts(redis, feed, f"edit {number}")
    assert lists_read(feed) == lists, "the list was not read"
    assert len(service.going()) == 1
    service.held.clear()


@pytest.mark.parametrize("how", ["kill", "freeze", "kill the worker"])
def test_another_process_follows_in_place_of_one_that_is_gone(
    redis: Redis, feed: FeedServer, fed: Celery, how: str
) -> None:
    workers = started(redis, feed, fed, workers=2)
    follower = follower_of(feed, workers)
    if how == "freeze":
        follower.suspend()
    elif how == "kill":
        follower.kill()
    else:
        next(each for each in workers if each.pid == follower.ppid()).kill()
    edit_counts(redis, feed, "first")
    if how == "freeze":
        follower.resume()
    edit_counts(redis, feed, "second")
    wait_until(is_followed(feed), "one process to follow")


def test_the_only_worker_follows_again_after_its_sync_was_killed(
    redis: Redis, feed: FeedServer, fed: Celery
) -> None:
    """Beat notices that nobody follows, and reads no list for this."""
    workers = started(redis, feed, fed)
    lists = lists_read(feed)
    follower_of(feed, workers).kill()
    edit_counts(redis, feed, "after")
    assert lists_read(feed) == lists
    workers[0].signal(signal.SIGTERM)
    assert workers[0].popen.wait(PATIENCE) == 0


def test_an_emptied_redis_is_filled_and_the_feed_followed(
    redis: Redis, feed: FeedServer, fed: Celery
) -> None:
    started(redis, feed, fed)
    redis.flushall()
    wait_until(named(redis, "2", "x"), "the registry")
    edit_counts(redis, feed, "after")


def test_a_redis_that_restarts_is_followed_again(feed: FeedServer, tmp_path: Path) -> None:
    server = Valkey(tmp_path / "valkey", appendfsync="always")
    env = {"CRON_TASKS_REDIS_URL": server.url, "CRON_TASKS_REST_URL": feed.url}
    with connect(server.url) as redis, celery_processes(env, tmp_path) as celery:
        started(redis, feed, celery)
        server.kill()
        server.start()
        edit_counts(redis, feed, "after")
        # The edit may have been in a list, which is read before the feed is followed.
        wait_until(lambda: redis.exists(keys.FEED_LOCK), "a process that follows")
    server.stop()
