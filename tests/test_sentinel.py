"""Real Sentinels: the master dies, a replica takes its place, and no process is restarted."""

import json
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from helpers import free_port, wait_until
from processes import Process, Valkey, celery_processes
from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rest_server import RestServer

from cron_tasks.store.client import connect

QUEUE = "queue:to_telegram"
CONFIG = """port {port}
dir {folder}
sentinel monitor main 127.0.0.1 {master} 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 3000
"""


def sentinel(folder: Path, master: Valkey) -> tuple[Process, str]:
    """A Sentinel process and its URL."""
    folder.mkdir()
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(CONFIG.format(port=port, folder=folder, master=master.port))
    command = [psutil.Process(master.pid).exe(), str(config), "--sentinel"]
    return Process(command, {}, folder / "log"), f"sentinel://127.0.0.1:{port}"


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "master")
    yield server
    with suppress(ProcessLookupError):  # the test killed it
        server.stop()


@pytest.fixture
def replica(master: Valkey, tmp_path: Path) -> Iterator[Redis]:
    server = Valkey(tmp_path / "replica")
    with connect(server.url) as redis:
        redis.config_set("repl-diskless-sync-delay", 0)
        redis.replicaof("127.0.0.1", master.port)
        yield redis
    server.stop()


@pytest.fixture
def sentinels(master: Valkey, replica: Redis, tmp_path: Path) -> Iterator[str]:
    """Start three Sentinels that know each other and the replica. Return their URL."""
    with Redis.from_url(master.url) as redis:
        redis.config_set("repl-diskless-sync-delay", 0)
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica")
    started = [sentinel(tmp_path / f"sentinel-{n}", master) for n in range(3)]
    try:
        for process, url in started:
            process.wait_for("+monitor")
            port = int(url.rpartition(":")[2])

            def knows(port: int = port) -> bool:
                with Redis(port=port) as redis:
                    known = redis.sentinel_master("main")
                return (known["num-slaves"], known["num-other-sentinels"]) == (1, 2)

            wait_until(knows, "the sentinels to find each other")
        yield ";".join(url for _, url in started) + "/0?master_name=main"
    finally:
        for process, _ in started:
            process.end()


def test_a_failover_costs_no_tick_and_no_process(
    master: Valkey, replica: Redis, sentinels: str, tmp_path: Path
) -> None:
    def ticks() -> list[float]:
        messages = map(json.loads, replica.lrange(QUEUE, 0, -1))
        return [datetime.fromisoformat(each["scheduled_for"]).timestamp() for each in messages]

    with RestServer([{"id": 1, "name": "x", "every": 1, "catchup": {"policy": "all"}}]) as rest:
        env = {"CRON_TASKS_REDIS_URL": sentinels, "CRON_TASKS_REST_URL": rest.url}
        with celery_processes(env, tmp_path) as celery:
            processes = [celery.worker(), celery.beat()]
            wait_until(lambda: len(ticks()) >= 2, "two ticks")
            master.kill()
            before = len(ticks())
            wait_until(lambda: len(ticks()) > before + 1, "the ticks to go on")
            assert all(process.alive for process in processes)
            found = sorted(ticks())
            assert found == [found[0] + n for n in range(len(found))], "lost or doubled"


def test_with_min_replicas_to_write_all_waits_until_the_old_master_is_back(
    master: Valkey, replica: Redis, sentinels: str, tmp_path: Path
) -> None:
    """docs/operations.md describes this cost for a single replica."""

    def ticks() -> list[float]:
        messages = map(json.loads, replica.lrange(QUEUE, 0, -1))
        return sorted(
            datetime.fromisoformat(each["scheduled_for"]).timestamp() for each in messages
        )

    def refuses() -> bool:
        try:
            replica.set("cron_tasks:test", 1, ex=1)
        except ResponseError as error:
            return "NOREPLICAS" in str(error)
        except RedisError:
            return False
        return False

    for url in (master.url, replica):
        with connect(url) if isinstance(url, str) else nullcontext(url) as redis:
            redis.config_set("min-replicas-to-write", 1)
    with RestServer([{"id": 1, "name": "x", "every": 1, "catchup": {"policy": "all"}}]) as rest:
        env = {"CRON_TASKS_REDIS_URL": sentinels, "CRON_TASKS_REST_URL": rest.url}
        with celery_processes(env, tmp_path) as celery:
            processes = [celery.worker(), celery.beat()]
            wait_until(lambda: len(ticks()) >= 2, "two ticks")
            master.kill()
            wait_until(lambda: replica.info("replication")["role"] == "master", "a failover")
            wait_until(refuses, "the new master to refuse writes")
            before = len(ticks())
            processes[1].wait_for("beat.waiting")
            assert len(ticks()) == before
            master.start()
            wait_until(lambda: len(ticks()) > before + 3, "the ticks to go on")
            assert all(process.alive for process in processes)
            found = ticks()
            assert found == [found[0] + n for n in range(len(found))], "lost or doubled"
