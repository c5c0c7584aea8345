"""The sync runs beside the pool of a worker: it needs no slot, and leaves no process behind."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery as App
from helpers import PATIENCE, wait_until
from live import Live
from plug_ins import install_calls
from processes import Celery, Process, Valkey, celery_processes
from redis import Redis
from redis.exceptions import RedisError
from rest_server import Handler, RestServer

from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys

LATER = {"id": "later", "name": "x", "run_at": "2099-01-01T00:00:00Z"}
OTHER = LATER | {"id": "other"}


def knows(redis: Redis, *ids: str) -> Callable[[], bool]:
    return lambda: set(Registry(redis).read_index()) == set(ids)


def ask(redis_url: str, **options: object) -> str:
    """Send the task of the sync, and return its id."""
    with App("asking", broker=redis_url, set_as_current=False) as app:
        sent = app.send_task(keys.SYNC_TASK, queue=keys.SYNC_QUEUE, **options)
        return str(sent.id)


class Held:
    """Lets the service delay its answers with the list."""

    def __init__(self, rest: RestServer) -> None:
        self.rest, self.waiting, self.goes_on = rest, 0, False
        rest.answer = self._hold

    def _hold(self, handler: Handler) -> bool:
        self.waiting += 1
        while not self.goes_on and not handler.rest.stopping.wait(0.02):
            pass
        return False


def held_sync(rest: RestServer, redis_url: str, **options: Any) -> Held:
    """Request a sync, and return once it waits for the list."""
    held = Held(rest)
    ask(redis_url, **options)
    wait_until(lambda: held.waiting, "the sync to read")
    return held


def the_next_sync_goes_well(redis: Redis, redis_url: str) -> None:
    """Check that a sync follows one whose process is gone."""
    wait_until(lambda: not redis.exists(keys.SYNC_LOCK), "the lock of the dead to run out")
    ask(redis_url)
    wait_until(knows(redis, "later", "other"), "the next sync")


@contextmanager
def nothing_left_of(worker: Process) -> Iterator[None]:
    """Check that the processes that a worker started end with it."""
    started = psutil.Process(worker.pid).children(recursive=True)
    yield
    wait_until(lambda: not any(each.is_running() for each in started), "the end of its processes")


def sync_process(worker: Process) -> psutil.Process:
    """Return the process that waits for the service."""

    def find() -> psutil.Process | None:
        children = psutil.Process(worker.pid).children()
        # A process that waits for its first message has no thread that renews a lock.
        return next((each for each in children if each.num_threads() > 1), None)

    return wait_until(find, "the process that syncs")


def one_job(redis: Redis, rest: RestServer, celery: Celery, *options: str) -> Process:
    """Start a worker that has synced one job."""
    rest.jobs = [LATER]
    worker = celery.worker(1, *options)
    worker.wait_for("ready")
    ask(celery.env["CRON_TASKS_REDIS_URL"])
    wait_until(knows(redis, "later"), "the first sync")
    wait_until(lambda: not redis.exists(keys.SYNC_LOCK), "its end")
    return worker


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_an_edit_counts_while_every_slot_is_busy(live: Live, tmp_path: Path, pool: str) -> None:
    """A call waits on the event loop. A plain function keeps its slot."""
    live.celery.env |= install_calls(tmp_path)
    live.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
    live.celery.worker(1, "-P", pool)
    live.celery.beat()
    live.service.held.add("busy")
    call = {"type": "call", "url": f"{live.service.url}/busy"}
    busy = {"id": "busy", "name": "x", "every": 1, "overlap": "allow", "action": call}
    live.rest.jobs = [busy]
    wait_until(lambda: live.service.going(), "the call that keeps the only slot busy")
    for number in range(2):
        edit = f"edit-{number}"
        live.rest.jobs = [busy, LATER | {"id": edit}]
        ask(live.celery.env["CRON_TASKS_REDIS_URL"])
        wait_until(knows(live.redis, "busy", edit), "the edit")
    assert len(live.service.going()) == 1
    live.service.held.clear()


def test_flower_sees_the_task_and_what_it_returned(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    one_job(redis, rest, celery)
    seen: list[dict[str, object]] = []

    def events_of(task_id: str) -> dict[object, dict[str, object]]:
        return {each["type"]: each for each in seen if each.get("uuid") == task_id}

    rest.jobs = [LATER, OTHER]
    with App("watching", broker=redis_url, set_as_current=False) as app, app.connection() as link:
        receiver = app.events.Receiver(link, handlers={"*": seen.append})
        with receiver.consumer_context() as (connection, _, _):

            def receive() -> bool:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
                return bool(seen)

            # The first read subscribes to the events. Heartbeats are among them.
            wait_until(receive, "an event")
            task_id = ask(redis_url)

            def ended() -> bool:
                return receive() and "task-succeeded" in events_of(task_id)

            wait_until(ended, "the end of the task")
    events = events_of(task_id)
    assert events["task-received"]["name"] == keys.SYNC_TASK
    assert "task-started" in events
    assert "'added': ['other']" in str(events["task-succeeded"]["result"])


def test_a_sync_in_the_queue_of_jobs_takes_a_slot(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    """Messages of the previous version wait there."""
    one_job(redis, rest, celery)
    rest.jobs = [LATER, OTHER]
    with App("before", broker=redis_url, set_as_current=False) as app:
        app.send_task(keys.SYNC_TASK, queue="cron_tasks")
    wait_until(knows(redis, "later", "other"), "the sync")


@pytest.mark.parametrize(("queues", "syncs"), [("slow", False), (keys.SYNC_QUEUE, True)])
def test_a_worker_of_named_queues_syncs_if_it_is_told_to(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery, queues: str, syncs: bool
) -> None:
    rest.jobs = [LATER]
    celery.worker(1, "-Q", queues).wait_for("ready")
    if not syncs:
        ask(redis_url)
        celery.worker(1).wait_for("ready")
        assert len(celery.processes) == 2
        wait_until(knows(redis, "later"), "the sync by the other worker")
        return
    ask(redis_url)
    wait_until(knows(redis, "later"), "the sync")


def test_what_is_not_a_sync_is_logged_and_dropped(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    worker = one_job(redis, rest, celery)
    with App("wrong", broker=redis_url, set_as_current=False) as app:
        app.send_task(keys.RUN_TASK, ["later"], queue=keys.SYNC_QUEUE)
        app.send_task(keys.SYNC_TASK, queue=keys.SYNC_QUEUE, time_limit=60)
    redis.lpush(keys.SYNC_QUEUE, "no JSON", "[]", json.dumps({"properties": {}, "headers": 3}))
    celery.run("call", keys.SYNC_TASK, "--queue", "elsewhere")
    message = json.loads(redis.lpop("elsewhere") or "")
    message["headers"]["timelimit"] = 5
    redis.lpush(keys.SYNC_QUEUE, json.dumps(message))
    rest.jobs = [LATER, OTHER]
    ask(redis_url)
    wait_until(knows(redis, "later", "other"), "the sync")
    wait_until(lambda: worker.output.count('"message.dropped"') == 5, "what was dropped")
    assert worker.alive


def test_a_killed_sync_is_followed_by_another(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    worker = one_job(redis, rest, celery)
    rest.jobs = [LATER, OTHER]
    held = held_sync(rest, redis_url)
    sync_process(worker).kill()
    held.goes_on = True
    the_next_sync_goes_well(redis, redis_url)
    assert worker.alive


def test_an_idle_process_that_is_killed_is_replaced(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    """The kernel does this for lack of memory."""
    worker = one_job(redis, rest, celery)
    killed = sync_process(worker)
    killed.kill()
    wait_until(lambda: not killed.is_running(), "its end")
    rest.jobs = [LATER, OTHER]
    the_next_sync_goes_well(redis, redis_url)


def test_a_sync_that_hangs_is_killed_at_its_limit(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    """Like a hanging validator of a plug-in, its process is stopped so that no thread helps."""
    worker = one_job(redis, rest, celery)
    rest.jobs = [LATER, OTHER]
    hanging, held = sync_process(worker), Held(rest)
    ask(redis_url, time_limit=1)
    wait_until(lambda: held.waiting or not hanging.is_running(), "the sync to read")
    with suppress(psutil.NoSuchProcess):  # A busy machine may have reached the limit already.
        hanging.suspend()
    wait_until(lambda: not hanging.is_running(), "the end of the one that hangs")
    held.goes_on = True
    the_next_sync_goes_well(redis, redis_url)


def test_a_killed_worker_leaves_no_process(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    worker = one_job(redis, rest, celery)
    held = held_sync(rest, redis_url)
    with nothing_left_of(worker):
        worker.signal(signal.SIGKILL)
    held.goes_on = True


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_warm_shutdown_lets_the_sync_end(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery, pool: str
) -> None:
    worker = one_job(redis, rest, celery, "-P", pool)
    rest.jobs = [LATER, OTHER]
    held = held_sync(rest, redis_url)
    with nothing_left_of(worker):
        worker.signal(signal.SIGTERM)
        worker.wait_for("Warm shutdown")
        held.goes_on = True
        assert worker.popen.wait(PATIENCE) == 0
    assert knows(redis, "later", "other")()


def test_a_second_signal_ends_a_sync_that_does_not_end(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    worker = one_job(redis, rest, celery)
    held = held_sync(rest, redis_url)
    with nothing_left_of(worker):
        worker.signal(signal.SIGTERM)
        worker.wait_for("Warm shutdown")
        worker.signal(signal.SIGQUIT)
        worker.popen.wait(PATIENCE)
    held.goes_on = True


def test_an_idle_worker_ends_at_once(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    worker = one_job(redis, rest, celery)
    with nothing_left_of(worker):
        begun = time.monotonic()
        assert worker.terminate() == 0
        assert time.monotonic() - begun < 25, "the time that runs in flight get"


def test_inspect_shows_one_worker_and_its_slots(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    one_job(redis, rest, celery)
    # A worker that is busy or does not listen yet may not answer within the second.
    pongs = lambda: celery.run("inspect", "ping").stdout.count("pong")  # noqa: E731
    assert wait_until(pongs, "an answer of the worker") == 1
    inspect = ("inspect", "--destination", "w0@test", "--timeout", "60", "stats", "--json")
    stats = celery.run(*inspect).stdout
    (worker,) = json.loads(stats[stats.index("{") :]).values()
    assert worker["pool"]["max-concurrency"] == 1
    assert len(worker["pool"]["processes"]) == 1


def test_a_redis_that_restarts_is_read_again(rest: RestServer, tmp_path: Path) -> None:
    server = Valkey(tmp_path / "valkey", appendfsync="always")
    with Redis.from_url(server.url, decode_responses=True) as redis:
        env = {"CRON_TASKS_REDIS_URL": server.url, "CRON_TASKS_REST_URL": rest.url}
        with celery_processes(env, tmp_path) as celery:
            worker = one_job(redis, rest, celery)
            server.kill()
            worker.wait_for('"sync.queue_unread"')
            server.start()
            rest.jobs = [LATER, OTHER]
            ask(server.url)

            def known() -> bool:
                try:
                    return knows(redis, "later", "other")()
                except RedisError:
                    return False

            wait_until(known, "the sync")
        server.stop()
