"""One registry belongs to one service. Another installation in the same Redis is refused."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis
from rest_server import RestServer

from cron_tasks.registry.wanted import is_anything_wanted, want_rows
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.owner import service_of
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.state import load_status


@pytest.fixture
def other() -> Iterator[RestServer]:
    with RestServer([{"id": 7, "name": "theirs", "every": 60}]) as server:
        yield server


@pytest.fixture
def ours(redis: Redis, rest: RestServer) -> Reconciler:
    """The installation that the registry belongs to."""
    rest.jobs = [{"id": 7, "name": "ours", "every": 60}]
    reconciler = Reconciler(redis, Settings(rest_url=rest.url))
    assert reconciler.sync(time.time).state == "ok"
    return reconciler


@pytest.fixture
def theirs(redis: Redis, other: RestServer) -> Reconciler:
    return Reconciler(redis, Settings(rest_url=other.url))


def test_a_second_installation_is_refused_until_it_takes_over(
    redis: Redis, rest: RestServer, other: RestServer, ours: Reconciler, theirs: Reconciler
) -> None:
    for report in (theirs.sync(time.time), theirs.preview()):
        assert report.state == "refused"
        assert f"this Redis holds the jobs of {rest.url}/api/cronjobs/" in report.detail
        assert f"this installation reads {other.url}/api/cronjobs/" in report.detail
    assert other.requests == []
    assert ours.registry.get_job("7").name == "ours"
    status = load_status(redis)
    assert (status.state, status.rival) == ("ok", f"{other.url}/api/cronjobs/")
    assert theirs.sync(time.time, force=True).state == "ok"
    assert ours.registry.get_job("7").name == "theirs"
    assert ours.sync(time.time).state == "refused"


def test_a_refused_sync_leaves_what_the_owner_wants_to_read(
    redis: Redis, rest: RestServer, ours: Reconciler, theirs: Reconciler
) -> None:
    rest.jobs = [{"id": 7, "name": "edited", "every": 60}]
    redis.lpush(keys.POKE, "7")
    # The workers of both installations read the same queue of syncs.
    want_rows(redis, ())
    for ids in (None, ["7"], []):
        assert theirs.sync(time.time, ids=ids).state == "refused"
    assert ours.sync(time.time, ids=[]).state == "ok"
    assert ours.registry.get_job("7").name == "edited"
    assert not is_anything_wanted(redis)


def test_an_emptied_redis_belongs_to_nobody(
    redis: Redis, rest: RestServer, other: RestServer
) -> None:
    rest.jobs = other.jobs
    Reconciler(redis, Settings(rest_url=rest.url)).sync(time.time)
    redis.flushall()
    assert Reconciler(redis, Settings(rest_url=other.url)).sync(time.time).state == "ok"


def test_the_owner_of_the_version_before_is_known(redis: Redis, rest: RestServer) -> None:
    redis.hset(keys.SOURCE, "read_as", "http://a.example /api/cronjobs/ {} UTC None")
    redis.set(keys.GENERATION, "1.0")
    report = Reconciler(redis, Settings(rest_url=rest.url)).sync(time.time)
    assert report.state == "refused"
    assert "holds the jobs of http://a.example/api/cronjobs/" in report.detail


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("http://Jobs.Example.com", "http://jobs.example.com:80/"),
        ("https://jobs.example.com:443", "https://jobs.example.com"),
        ("http://jobs.example.com/base/", "http://jobs.example.com/base"),
    ],
)
def test_all_spellings_of_a_url_name_the_same_service(one: str, another: str) -> None:
    assert service_of(Settings(rest_url=one)) == service_of(Settings(rest_url=another))
