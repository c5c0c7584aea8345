"""A sync that was cut off, frozen or overtaken. The registry ends with the newest list."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers import PATIENCE
from redis import Redis
from rest_server import Handler, RestServer

from cron_tasks.errors import WriteRefused
from cron_tasks.registry import steps
from cron_tasks.registry.fence import sync_lock
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.steps import describe_change
from cron_tasks.registry.writer import Writer
from cron_tasks.repair.comparison import Comparison
from cron_tasks.settings import Settings
from cron_tasks.store import keys, paging
from cron_tasks.sync.reconciler import Reconciler

NOW = 1_800_000_000.0
COUNT = 60


class Cut(Exception):
    """Stands for the death of the process at this point."""


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging.pages, "__defaults__", (10,))


@pytest.fixture
def reconciler(redis: Redis, rest: RestServer) -> Reconciler:
    return Reconciler(redis, Settings(rest_url=rest.url))


def rows(minute: int, count: int = COUNT) -> list[dict[str, Any]]:
    return [{"id": n, "name": "x", "cron_expression": f"{minute} * * * *"} for n in range(count)]


def sync(reconciler: Reconciler) -> Any:
    report = reconciler.sync(lambda: NOW)
    assert report
    return report


def minutes(redis: Redis) -> set[str]:
    """The minutes at which the registered jobs are due."""
    found = Registry(redis).read_jobs()
    return {each.job.schedule.to_spec()["c"].split()[0] for each in found}


def on_call(
    monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None], name: str = "put"
) -> None:
    """Call `act` once, before the script is called for the `number`th time."""
    original, calls = getattr(steps, name), [0]

    def call(redis: Redis, **values: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            act()
        return original(redis, **values)

    monkeypatch.setattr(steps, name, call)


def test_an_index_that_is_deleted_during_a_sync_leaves_no_job_behind(
    reconciler: Reconciler, redis: Redis, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync does not know the removed job. Beat finds it, and adds it to the index meanwhile."""
    rest.jobs = rows(1)
    sync(reconciler)
    rest.jobs = rows(1, COUNT - 1)

    def delete_index(handler: Handler) -> bool:
        rest.answer = None
        redis.delete(keys.JOBS)
        return False

    rest.answer = delete_index
    comparison = Comparison(redis, Settings(rest_url=rest.url), lambda: NOW)
    on_call(monkeypatch, 6, lambda: comparison.mend() and None)
    assert len(sync(reconciler).changes.added) == COUNT - 1
    assert redis.hexists(keys.JOBS, str(COUNT - 1))
    assert sync(reconciler).changes.removed == [str(COUNT - 1)]
    assert sync(reconciler).not_modified


def test_a_job_that_is_set_aside_during_a_sync_is_written_again(
    reconciler: Reconciler, redis: Redis, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync has found it unchanged before."""
    rest.jobs = rows(1)
    sync(reconciler)
    rest.jobs[1:] = rows(2)[1:]
    on_call(
        monkeypatch, 6, lambda: quarantine_entry(redis, keys.entry_key("0"), "it is broken", 60)
    )
    assert len(sync(reconciler).changes.changed) == COUNT - 1
    assert redis.hlen(keys.SET_ASIDE) == 1
    assert len(sync(reconciler).changes.changed) == 1
    assert redis.hlen(keys.SET_ASIDE) == 0
    assert sync(reconciler).not_modified


@pytest.mark.parametrize("page", [2, 4, 6])
def test_a_sync_that_is_killed_and_a_list_that_is_set_back(
    reconciler: Reconciler,
    redis: Redis,
    rest: RestServer,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
) -> None:
    rest.jobs = rows(1)
    sync(reconciler)
    assert sync(reconciler).not_modified

    def killed() -> None:
        raise Cut

    with monkeypatch.context() as patch:
        on_call(patch, page, killed)
        rest.jobs = rows(2)
        with pytest.raises(Cut):
            sync(reconciler)
    rest.jobs = rows(1)
    report = sync(reconciler)
    assert not report.not_modified
    assert minutes(redis) == {"1"}
    assert sync(reconciler).not_modified


@pytest.mark.parametrize("script", ["put", "remove"])
def test_a_redis_that_is_emptied_during_the_last_pages_is_filled_again(
    reconciler: Reconciler, redis: Redis, rest: RestServer, monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:  # fmt: skip
    rest.jobs = rows(1)
    sync(reconciler)
    on_call(monkeypatch, 2, redis.flushall, script)
    rest.jobs = rows(2, COUNT // 2 + 1)
    sync(reconciler)
    assert Registry(redis).count() == COUNT // 2 + 1
    assert minutes(redis) == {"2"}


def test_a_sync_that_was_frozen_does_not_write_over_a_newer_one(
    reconciler: Reconciler, redis: Redis, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock expires, another sync applies a newer list, and then it continues."""
    rest.jobs = rows(1)
    sync(reconciler)
    frozen, thawed = threading.Event(), threading.Event()

    def freeze() -> None:
        redis.delete(keys.SYNC_LOCK)
        frozen.set()
        thawed.wait(PATIENCE)

    on_call(monkeypatch, 3, freeze)
    rest.jobs = rows(2)
    thread = threading.Thread(target=sync, args=(reconciler,))
    thread.start()
    assert frozen.wait(PATIENCE)
    rest.jobs = rows(3)
    other = Reconciler(redis, reconciler.settings)
    sync(other)
    assert minutes(redis) == {"3"}
    thawed.set()
    thread.join()
    assert minutes(redis) == {"3"}
    assert sync(reconciler).not_modified
    assert minutes(redis) == {"3"}


def test_every_script_of_a_sync_refuses_an_old_token_or_another_registry(redis: Redis) -> None:
    with sync_lock(redis) as fence:
        assert fence
        writer, change = Writer(redis, 60, fence), describe_change(NOW, "edited", 60)
        redis.set(keys.GENERATION, "another")
        for act in (
            lambda: steps.put(redis, stamp="", noted=True, listed=[], **change, **fence.values),
            lambda: writer.write(Changes(removed=["7"]), lambda: NOW),
        ):
            with pytest.raises(WriteRefused, match="the registry was emptied or rebuilt meanwhile"):
                act()
        redis.delete(keys.GENERATION)
        redis.set(keys.SYNC_LOCK, "another", ex=60)
        with pytest.raises(WriteRefused, match="another sync holds the lock by now"):
            writer.write(Changes(removed=["7"]), lambda: NOW)


@pytest.mark.parametrize(
    "lost", [keys.GENERATION, keys.SCHEDULE, keys.JOBS, "a job", "a rejection", keys.REJECTED]
)
def test_validators_do_not_outlive_their_list(
    reconciler: Reconciler, redis: Redis, rest: RestServer, lost: str
) -> None:
    rest.jobs = [*rows(1), {"id": "bad"}]
    sync(reconciler)
    before = redis.hgetall(keys.REJECTED), redis.hgetall(keys.JOBS)
    if lost == "a job":
        redis.hdel(keys.JOBS, "7")
    elif lost == "a rejection":
        redis.hdel(keys.REJECTED, *redis.hkeys(keys.REJECTED))
    else:
        redis.delete(lost)
    assert not sync(reconciler).not_modified
    assert (redis.hgetall(keys.REJECTED), redis.hgetall(keys.JOBS)) == before
    assert redis.zcard(keys.SCHEDULE) == COUNT


@pytest.mark.parametrize("constant", ["FORMAT", "MODELS"])
def test_an_upgrade_that_validates_differently_reads_the_list_again(
    reconciler: Reconciler, rest: RestServer, monkeypatch: pytest.MonkeyPatch, constant: str
) -> None:
    from cron_tasks.sync import policy

    rest.jobs = rows(1)
    sync(reconciler)
    assert sync(reconciler).not_modified
    monkeypatch.setattr(policy, constant, b"99" if constant == "FORMAT" else ())
    assert not sync(reconciler).not_modified
