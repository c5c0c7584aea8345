"""Workers: a Redis that restarts, separate queues, and the internals that we rely on."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from threading import Barrier

import pytest
from celery import Celery as App
from helpers import wait_until
from processes import Celery, Valkey, celery_processes
from redis import Redis
from redis.exceptions import RedisError
from rest_server import RestServer

from cron_tasks.broker.transport import Unacknowledged, make_worker_queue
from cron_tasks.store.client import connect

QUEUE = "queue:to_telegram"


@pytest.mark.parametrize(
    ("package", "known"),
    [("celery", "5.7."), ("kombu", "5.7."), ("billiard", "4."), ("celery-redbeat", "2.4.")],
)
def test_the_versions_whose_insides_we_know(package: str, known: str) -> None:
    """beat.py and broker.py reach inside these; a newer one has to be read first."""
    assert version(package).startswith(known)


def test_a_sync_that_hangs_is_killed_by_celery() -> None:
    from cron_tasks.tasks import settings, sync_jobs

    assert sync_jobs.time_limit > settings.rest_deadline


def test_no_queue_is_acknowledged() -> None:
    app = App("test", amqp=Unacknowledged, set_as_current=False)
    app.conf.task_queues = [make_worker_queue("cron_tasks")]
    app.amqp.queues.select(["cron_tasks", "slow"])
    assert {queue.name: queue.no_ack for queue in app.amqp.queues.consume_from.values()} == {
        "cron_tasks": True,
        "slow": True,
    }


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey", appendfsync="always")
    yield server
    server.stop()


def test_redis_comes_back_empty(tmp_path: Path) -> None:
    """It is rebuilt from the REST service. Earlier runs are neither repeated nor caught up."""
    jobs: list[dict[str, object]] = [
        {"id": number, "name": "x", "every": 1, "catchup": {"policy": "all"}}
        for number in range(20)
    ]
    jobs.append({"id": "past", "name": "x", "run_at": "2020-01-01T00:00:00Z"})
    jobs.append({"id": "today", "name": "x", "cron_expression": "0 0 * * *"})
    server = Valkey(tmp_path / "valkey", appendfsync=None)

    def told() -> list[dict[str, str]]:
        try:
            return [json.loads(message) for message in redis.lrange(QUEUE, 0, -1)]
        except RedisError:
            return []

    with RestServer(jobs) as rest, Redis.from_url(server.url) as redis:
        env = {"CRON_TASKS_REDIS_URL": server.url, "CRON_TASKS_REST_URL": rest.url}
        with celery_processes(env, tmp_path) as celery:
            processes = [celery.worker(2), celery.beat()]
            wait_until(lambda: len(told()) > 40, "the jobs to run")
            server.kill()
            emptied = time.time()
            server.start()
            messages = wait_until(lambda: len(found := told()) > 60 and found, "them to run on")
            assert all(process.alive for process in processes)
            # At its start, and when it finds Redis empty, unless a sync has come before.
            assert processes[1].output.count("registry.missing") in (1, 2)
        server.stop()
    due = [datetime.fromisoformat(message["scheduled_for"]).timestamp() for message in messages]
    assert min(due) > emptied
    assert len({message["id"] for message in messages}) == len(messages)


def test_redis_restarts_under_busy_workers_and_beats(own_valkey: Valkey, tmp_path: Path) -> None:
    jobs = [{"id": number, "name": "x", "every": 1} for number in range(40)]

    def told() -> int:
        try:
            return int(redis.llen(QUEUE))
        except RedisError:
            return 0

    with RestServer(jobs) as rest, Redis.from_url(own_valkey.url) as redis:
        env = {"CRON_TASKS_REDIS_URL": own_valkey.url, "CRON_TASKS_REST_URL": rest.url}
        with celery_processes(env, tmp_path) as celery:
            processes = [celery.worker(2), celery.worker(2), celery.beat()]
            for _ in range(3):
                before = told()
                wait_until(lambda least=before: told() > least + 80, "the jobs to run")
                own_valkey.kill()
                own_valkey.start()
            before = told()
            wait_until(lambda: told() > before + 80, "the jobs to run on")
            assert all(process.alive for process in processes)
            assert "CPendingDeprecationWarning" not in processes[0].output


NO_MESSAGES = [
    b"not json",
    b"\xff\xfe",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    b'{"properties": 1}',
    b'{"properties": {}, "headers": {}, "body": ""}',
    b'{"properties": {"delivery_tag": "1"}, "headers": 3, "body": ""}',
]


def test_data_that_is_not_a_message_is_logged_and_dropped(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    """kombu ends the worker for each of them, and the next worker for the next."""
    rest.jobs = [{"id": 1, "name": "x", "every": 1}]
    worker = celery.worker(1)
    worker.wait_for("ready")
    redis.rpush("cron_tasks", *NO_MESSAGES)
    celery.beat()
    wait_until(lambda: redis.llen(QUEUE) >= 2, "two runs")
    assert worker.output.count('"message.dropped"') == len(NO_MESSAGES)
    assert "Connection to broker lost" not in worker.output
    assert worker.alive


def test_a_malformed_message_costs_a_new_connection_and_no_slot(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    """Celery has reserved the worker's only slot for it before it fails. Without a slot, no further
    runs."""
    rest.jobs = [{"id": 1, "name": "x", "every": 1}]
    celery.run("call", "cron_tasks.run_job", "--args", '["1"]')
    message = json.loads(redis.lpop("cron_tasks") or b"")
    message["headers"]["timelimit"] = 5
    redis.rpush("cron_tasks", json.dumps(message))
    worker = celery.worker(1)
    worker.wait_for('"message.dropped"')
    celery.beat()
    wait_until(lambda: redis.llen(QUEUE) >= 2, "two runs")
    assert worker.alive


def test_a_job_with_a_queue_of_its_own_runs_on_the_worker_that_reads_it(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [{"id": 1, "name": "slow", "every": 1, "queue": "slow", "priority": 3}]
    celery.beat()
    celery.worker(1)
    slow = celery.worker(1, "-Q", "slow")
    wait_until(lambda: slow.output.count('"run.finished"') >= 2, "two runs")
    assert redis.llen(QUEUE) >= 2


def test_as_many_threads_as_a_worker_has_may_ask_redis_at_once(redis_url: str) -> None:
    """redis-py's limit is 100 connections, and a burst of 200 runs needs more."""
    threads = 200
    together = Barrier(threads)
    with connect(redis_url) as client, ThreadPoolExecutor(threads) as pool:

        def ask(_: int) -> object:
            together.wait()
            return client.blpop(["cron_tasks:nothing"], timeout=1)

        assert list(pool.map(ask, range(threads))) == [None] * threads
