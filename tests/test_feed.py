"""The feed of changes: each change is applied, none is lost, and no older row comes back."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from feed_server import FEED_PATH, FeedServer
from helpers import NEVER_DUE, PATIENCE, wait_until
from redis import Redis
from rest_server import JOBS_PATH, Answer, Handler, reply, reset, status
from structlog.testing import capture_logs

from cron_tasks.health.checks import run_check
from cron_tasks.health.system import System as health_system
from cron_tasks.registry.fence import sync_lock
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.registry.wanted import is_anything_wanted
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync import follower as following
from cron_tasks.sync.feed_state import load_position, load_status
from cron_tasks.sync.follower import Follower
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.state import load_beginning


def job(job_id: object, name: str = "x", **fields: object) -> dict[str, Any]:
    return {"id": job_id, "name": name} | NEVER_DUE | fields


class System:
    """A registry that has read its list, and a follower that a test moves step by step."""

    def __init__(self, redis: Redis, rest: FeedServer, **settings: Any) -> None:
        self.redis, self.rest, self.registry = redis, rest, Registry(redis)
        patient = {"rest_timeout": PATIENCE, "rest_deadline": PATIENCE}
        self.settings = Settings(rest_url=rest.url, **patient, **settings)
        self.reconciler = Reconciler(redis, self.settings)
        self.follower = Follower(redis, self.settings, time.time)
        self.sync()

    def sync(self) -> None:
        report = self.reconciler.sync(time.time)
        assert report is not None
        assert report.state == "ok"

    def step(self) -> float:
        return self.follower.step()

    def catch_up(self) -> None:
        """Follow until the feed is read to its end."""
        wait_until(lambda: self.step() or self.follower._is_current, "the end of the feed")

    def names(self) -> dict[str, str]:
        return {each.job.id: each.job.name for each in self.registry.read_jobs()}

    def asks_for_the_list(self) -> bool:
        """Return whether the list was requested by a poke, which is removed."""
        return self.redis.lpop(keys.POKE) == "*"


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[FeedServer]:
    monkeypatch.setattr(following, "WAIT", 0.2)
    # However long a test waits for its processor, its follower keeps the lease, and an answer that
    # came at once counts as one.
    monkeypatch.setattr(following, "LEASE_TTL", PATIENCE)
    monkeypatch.setattr(following, "EARLY", PATIENCE)
    with FeedServer([job(n) for n in range(1, 5)]) as server:
        yield server


@pytest.fixture
def system(redis: Redis, feed: FeedServer) -> System:
    return System(redis, feed)


def test_changes_count_and_only_they_are_read(system: System) -> None:
    system.catch_up()
    del system.rest.requests[:]
    system.rest.put(job(1, "a"))
    system.rest.put(job(9, "new"))
    system.rest.remove(2)
    system.step()
    assert system.names() == {"1": "a", "3": "x", "4": "x", "9": "new"}
    assert load_beginning(system.redis).drift == (False, False)
    assert [path.split("?")[0] for _, path, _ in system.rest.requests] == [FEED_PATH]
    assert load_position(system.redis).address.endswith("cursor=a-3")


def test_the_feed_waits_and_the_cursor_moves(system: System) -> None:
    system.catch_up()
    system.rest.put(job(1, "a"))
    system.step()
    system.step()
    assert [poll["cursor"] for poll in system.rest.polls] == ["a-0", "a-0", "a-1"]
    assert [poll["wait"] for poll in system.rest.polls] == ["0", "0.2", "0.2"]


@pytest.mark.parametrize("wrapper", [None, "job", "data", "result", "item"])
def test_a_change_without_its_row_has_that_read(system: System, wrapper: str | None) -> None:
    system.rest.answer_list = None
    system.rest.put(job(3, "read"), id=3)
    if wrapper:
        row = json.dumps({wrapper: job(3, "read")}).encode()
        serve = system.rest.answer

        def answer(handler: Handler) -> bool:
            if handler.path == JOBS_PATH + "3/":
                return reply(200, row)(handler)
            assert serve
            return serve(handler)

        system.rest.answer = answer
    system.catch_up()
    assert system.names()["3"] == "read"
    assert (("GET", JOBS_PATH + "3/") in [each[:2] for each in system.rest.requests]) is True


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_mapping_and_wrappers_apply_to_a_row(
    redis: Redis, feed: FeedServer, wrapped: bool
) -> None:
    feed.jobs = [{"uuid": "u1", "title": "x"} | NEVER_DUE]
    system = System(redis, feed, rest_mapping={"id": "uuid", "name": "title"})
    row = {"uuid": "u1", "title": "mapped"} | NEVER_DUE
    feed.tell({"id": "u1", "job": {"data": row} if wrapped else row})
    system.catch_up()
    assert system.names() == {"u1": "mapped"}
    assert len(feed.requests) == len(feed.polls) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"id": 7},
        {"id": 1, "deleted": "2026-01-01"},
        {"id": 1, "job": job(2, "other")},
        {"id": 1, "job": "text"},
        {"id": ".."},
        {"name": "no id"},
        "text",
        None,
        {"id": None, "deleted": True},
        {"id": "x" * 201},
    ],
)
def test_what_a_change_leaves_open_is_decided_by_the_service(
    system: System, change: object
) -> None:
    system.rest.tell(change)
    system.catch_up()
    assert system.names() == {str(n): "x" for n in range(1, 5)}
    read = JOBS_PATH + "1/" in [path for _, path, _ in system.rest.requests]
    assert system.asks_for_the_list() != read
    assert load_position(system.redis).address.endswith("cursor=a-1")


def test_the_last_word_on_an_id_counts(system: System) -> None:
    system.rest.tell({"id": 1, "deleted": True}, {"id": 1, "job": job(1, "back")})
    system.rest.tell({"id": 2, "job": job(2, "gone")}, {"id": 2, "deleted": True})
    system.rest.tell({"id": 3, "job": job(3, "one")}, {"id": "3", "job": job(3, "two")})
    system.catch_up()
    assert system.names() == {"1": "back", "3": "two", "4": "x"}


def test_a_change_that_comes_twice_is_written_once(system: System) -> None:
    system.catch_up()
    system.rest.tell({"id": 1, "job": job(1, "a")})
    system.step()
    before = system.redis.hgetall(keys.entry_key("1"))
    system.rest.tell({"id": 1, "job": job(1, "a")})
    system.step()
    assert system.redis.hgetall(keys.entry_key("1")) == before


def test_a_bad_row_is_rejected_and_its_job_stays(system: System) -> None:
    system.rest.tell({"id": 1, "job": {"id": 1, "name": "x", "cron_expression": "no"}})
    system.rest.tell({"id": 2, "job": job(2, "good")})
    system.catch_up()
    assert [each.id for each in read_rejected(system.redis)] == ["1"]
    assert system.names()["1"] == "x"
    assert system.names()["2"] == "good"


def test_removals_respect_the_limit(redis: Redis, feed: FeedServer) -> None:
    feed.jobs = [job(n) for n in range(30)]
    system = System(redis, feed)
    feed.tell(*({"id": n, "deleted": True} for n in range(20)))
    system.catch_up()
    assert system.registry.count() == 30
    assert system.asks_for_the_list()


def test_removals_one_by_one_respect_the_limit_too(redis: Redis, feed: FeedServer) -> None:
    feed.jobs = [job(n) for n in range(30)]
    system = System(redis, feed)
    system.catch_up()
    for number in range(20):
        feed.tell({"id": number, "deleted": True})
        system.step()
    assert system.registry.count() == 15
    assert system.asks_for_the_list()
    feed.jobs = [job(n) for n in range(15, 30)]
    system.sync()
    feed.tell({"id": 29, "deleted": True})
    system.catch_up()
    assert system.registry.count() == 14


def test_a_change_between_the_cursor_and_the_list_is_not_lost(
    redis: Redis, feed: FeedServer
) -> None:
    """The change comes while the list is sent, so the list is older."""
    rows = json.dumps(feed.jobs).encode()

    def list_late(handler: Handler) -> bool:
        link = f'<{FEED_PATH}?cursor={feed.cursor}>; rel="changes"'
        feed.put(job(2, "meanwhile"))
        return reply(200, rows, Link=link)(handler)

    feed.answer_list = list_late
    system = System(redis, feed)
    assert system.names()["2"] == "x"
    system.catch_up()
    assert system.names()["2"] == "meanwhile"


class Watched:
    """Records each name that a job gets."""

    def __init__(self, system: System, job_id: str) -> None:
        self.system, self.job_id = system, job_id
        self.seen: list[str] = []

    def catch_up(self) -> None:
        def step() -> bool:
            self.system.step()
            self.seen.append(self.system.names()[self.job_id])
            return self.system.follower._is_current

        wait_until(step, "the end of the feed")


def test_no_older_row_comes_back_after_the_list(redis: Redis, feed: FeedServer) -> None:
    """The feed repeats what the list already holds, one change at a time."""
    feed.most = 1
    feed.link = FEED_PATH + "?cursor=a-0"
    for number in range(5):
        feed.put(job(1, f"v{number}"))
    system = System(redis, feed)
    assert system.names()["1"] == "v4"
    watched = Watched(system, "1")
    watched.catch_up()
    assert set(watched.seen) == {"v4"}


@pytest.mark.parametrize("how", ["poke", "list"])
def test_no_older_row_comes_back_after_another_sync(system: System, how: str) -> None:
    """While the feed's answer is in transit, a newer row is read and written."""
    system.catch_up()
    system.rest.most = 1
    feed = system.rest

    def overtake(handler: Handler) -> bool:
        feed.answer_feed = None
        feed.put(job(1, "old"))
        feed.put(job(1, "new"))
        system.reconciler.sync(time.time, ids=["1"] if how == "poke" else None)
        feed._feed(handler, feed.polls[-1])
        return True

    feed.answer_feed = overtake
    watched = Watched(system, "1")
    system.step()
    watched.seen.append(system.names()["1"])
    watched.catch_up()
    assert set(watched.seen) == {"new"}
    feed.put(job(1, "newest"))
    system.catch_up()
    system.step()
    assert system.names()["1"] == "newest"


def test_changes_wait_while_a_list_is_read_and_serve_what_was_asked_for(system: System) -> None:
    system.catch_up()
    with sync_lock(system.redis) as fence:
        assert fence
        system.redis.expire(keys.SYNC_LOCK, 1)
        system.redis.sadd(keys.SYNC_WANTED, "3")
        system.rest.put(job(1, "a"))
        system.rest.jobs = [job(3, "poked"), *system.rest.jobs]
        system.redis.delete(keys.SYNC_LOCK)
        system.step()
    assert system.names()["1"] == "a"
    assert system.names()["3"] == "poked"
    assert not is_anything_wanted(system.redis)


def test_a_gone_cursor_has_the_list_read_whole(system: System) -> None:
    system.catch_up()
    system.rest.restart("b")
    system.rest.put(job(1, "missed"))
    system.step()
    assert load_position(system.redis).address == ""
    assert system.asks_for_the_list()
    system.sync()
    assert system.names()["1"] == "missed"
    system.catch_up()
    system.rest.put(job(1, "again"))
    system.step()
    assert system.names()["1"] == "again"


def test_a_cursor_that_is_gone_at_once_costs_one_read_of_the_list(system: System) -> None:
    system.rest.link = FEED_PATH + "?cursor=gone-1"
    for number in range(3):
        system.sync()
        system.step()
        assert system.asks_for_the_list() == (number == 0)


def test_smaller_cursors_after_a_restart(system: System) -> None:
    """The service restarts its cursors, and does not recognise ours."""
    for number in range(5):
        system.rest.put(job(1, f"v{number}"))
    system.catch_up()
    system.rest.restart()
    system.rest.put(job(2, "unseen"))
    system.step()
    system.rest.put(job(3, "seen"))
    system.step()
    assert system.names()["3"] == "seen"
    system.sync()
    assert system.names()["2"] == "unseen"
    system.catch_up()
    assert load_position(system.redis).address.endswith("cursor=a-2")
    system.rest.put(job(4, "after"))
    system.catch_up()
    assert system.names()["4"] == "after"


def drop(handler: Handler) -> bool:
    handler.close_connection = True
    return True


@pytest.mark.parametrize(
    "cut",
    [status(502), status(503), status(504), status(429), drop, reset()],
    ids=["502", "503", "504", "429", "closed", "reset"],
)
def test_a_request_that_is_cut_is_no_alarm(system: System, cut: Answer) -> None:
    system.catch_up()
    system.rest.answer_feed = cut
    with capture_logs() as logs:
        assert 0 < system.step() <= 1
    assert [each for each in logs if each["log_level"] in ("warning", "error")] == []
    system.rest.answer_feed = None
    system.rest.put(job(1, "after"))
    system.step()
    assert system.names()["1"] == "after"
    assert {poll["cursor"] for poll in system.rest.polls} == {"a-0"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "starts with '<html>'"),
        (b"[]", "array `changes`"),
        (b'{"changes": []}', "no `cursor`"),
        (b'{"changes": [], "cursor": true}', "no `cursor`"),
        (b'{"changes": [], "cursor": {}}', "no `cursor`"),
        (b'{"changes": {}, "cursor": "1"}', "array `changes`"),
        (b'{"changes": [{"id": 1', "breaks off"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_garbage_is_said_once_and_the_list_still_counts(
    system: System, body: bytes, why: str
) -> None:
    system.catch_up()
    system.rest.answer_feed = reply(200, body)
    with capture_logs() as logs:
        pauses = [system.step() for _ in range(3)]
    assert min(pauses) >= 1
    (line,) = [each for each in logs if each["event"] == "feed.failing"]
    assert why in line["detail"]
    assert line["detail"].count("\n") == 0
    system.rest.put(job(1, "listed"))
    system.sync()
    assert system.names()["1"] == "listed"
    system.rest.answer_feed = None
    system.rest.put(job(2, "fed"))
    system.catch_up()
    assert system.names()["2"] == "fed"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 500, 304])
def test_a_refusal_is_said_once(system: System, code: int) -> None:
    system.rest.answer_feed = status(code)
    with capture_logs() as logs:
        pauses = [system.step() for _ in range(3)]
    assert min(pauses) >= 1
    assert [each["event"] for each in logs].count("feed.failing") == 1


def test_a_service_that_ignores_wait_is_not_asked_again_at_once(system: System) -> None:
    system.catch_up()
    system.rest.heeds_wait = False
    pauses = [system.step() for _ in range(4)]
    assert pauses == [1, 2, 4, 5]
    system.rest.put(job(1, "a"))
    assert system.step() == 0
    assert system.names()["1"] == "a"


def test_a_feed_that_repeats_itself_is_not_asked_again_at_once(system: System) -> None:
    same = json.dumps({"changes": [{"id": 1, "job": job(1)}], "cursor": "a-0"}).encode()
    system.rest.answer_feed = reply(200, same)
    system.catch_up()
    assert system.step() >= 1


def test_a_feed_that_is_no_longer_named_is_left(system: System) -> None:
    system.catch_up()
    system.rest.link = ""
    system.sync()
    asked = len(system.rest.polls)
    assert system.step() > 0
    assert len(system.rest.polls) == asked


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.1:9/changes?cursor=1", "//elsewhere.example/c", "ftp://x/", "http://[/"],
)
def test_a_feed_elsewhere_is_refused_in_words(redis: Redis, feed: FeedServer, link: str) -> None:
    feed.link = link
    with capture_logs() as logs:
        system = System(redis, feed)
        system.sync()
    (line,) = [each for each in logs if each["event"] == "feed.refused"]
    assert "feed of changes" in line["detail"]
    assert system.step() > 0
    assert not feed.polls


def test_a_feed_that_redirects_elsewhere_gets_no_credentials(
    redis: Redis, feed: FeedServer
) -> None:
    with FeedServer() as other:
        system = System(redis, feed, rest_token="t0ken", rest_headers='{"X-Api-Key": "k"}')
        feed.answer_feed = reply(302, Location=other.url + FEED_PATH + "?cursor=a-0&wait=0")
        other.tell({"id": 1, "deleted": True})
        with capture_logs() as logs:
            system.step()
        for _, _, headers in other.requests:
            assert "Authorization" not in headers
            assert "X-Api-Key" not in headers
        assert "another origin" in logs[-1]["detail"]
    assert "1" in system.names()


def test_an_emptied_redis_voids_what_was_read(system: System) -> None:
    system.catch_up()
    feed = system.rest

    def empty(handler: Handler) -> bool:
        feed.answer_feed = None
        feed.put(job(1, "a"))
        feed._feed(handler, feed.polls[-1])
        system.redis.flushall()
        return True

    feed.answer_feed = empty
    system.step()
    assert system.names() == {}
    system.sync()
    system.catch_up()
    assert system.names()["1"] == "a"


def test_only_the_holder_of_the_lease_follows(system: System) -> None:
    system.catch_up()
    other = Follower(system.redis, system.settings, time.time)
    asked = len(system.rest.polls)
    assert other.step() > 0
    assert len(system.rest.polls) == asked
    system.redis.delete(keys.FEED_LOCK)
    wait_until(lambda: other.step() or other._is_current, "the other to follow")
    assert system.step() > 0, "the first has lost its lease"


def test_the_cursor_is_kept_when_the_write_is_refused(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.catch_up()
    take = Reconciler.sync_rows

    def freeze(self: Reconciler, *args: Any, **more: Any) -> Any:
        """Behave as if the process was frozen until another sync had its lock."""
        self.redis.set(keys.SYNC_LOCK, "another", ex=60)
        return take(self, *args, **more)

    monkeypatch.setattr(Reconciler, "sync_rows", freeze)
    system.rest.put(job(1, "a"))
    system.step()
    assert load_position(system.redis).address.endswith("cursor=a-0")
    assert system.names()["1"] == "x"
    monkeypatch.undo()
    system.redis.delete(keys.SYNC_LOCK)
    system.catch_up()
    assert system.names()["1"] == "a"


def test_very_many_changes_have_the_list_read(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOST_CHANGES", 3)
    system.rest.tell(*({"id": n, "job": job(n, "fed")} for n in range(1, 5)))
    system.catch_up()
    assert system.asks_for_the_list()
    assert load_position(system.redis).address.endswith("cursor=a-4")


def test_doctor_and_sync_say_how_the_feed_stands(
    system: System, tmp_path: Path, redis_url: str
) -> None:
    cli = CommandLine(tmp_path, REDIS_URL=redis_url, REST_URL=system.rest.url)

    def doctor() -> tuple[str, str]:
        answered = load_status(system.redis).answered
        checked = health_system(system.settings, system.redis, answered or time.time())
        found = run_check("feed", checked)
        return found.status, found.detail

    assert doctor() == ("warn", "The feed of changes has not answered yet")
    system.catch_up()
    status_now, detail = doctor()
    assert status_now == "ok"
    assert "is followed; its last answer came 0 s ago" in detail
    assert "The feed of changes is followed" in cli.lines("sync")[-1]
    assert cli.json("sync")["feed"]["is_followed"] is True
    system.rest.answer_feed = reply(200, b"garbage")
    system.catch_up()
    status_now, detail = doctor()
    assert status_now == "warn"
    assert "cannot read the changes from" in detail
    system.rest.link = "http://127.0.0.1:9/"
    system.sync()
    status_now, detail = doctor()
    assert status_now == "warn"
    assert "is not on the origin of CRON_TASKS_REST_URL" in detail
    system.rest.link = ""
    system.sync()
    assert doctor()[0] == "ok"
    assert cli.json("sync")["feed"] == {"is_followed": False, "answered": None, "detail": ""}
