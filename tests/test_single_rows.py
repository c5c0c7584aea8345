"""After a poke with ids only these rows are read, and the list still decides where needed."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import PATIENCE, wait_until
from live import Live, wait_for_syncs
from processes import Celery
from redis import Redis
from rest_server import JOBS_PATH, Handler, RestServer, reply, status

from cron_tasks.registry.fence import sync_lock
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.registry.wanted import is_anything_wanted, take_wanted
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync import meanwhile
from cron_tasks.sync.outcome import Report
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.state import load_beginning

AT = "2099-01-01T00:00:00Z"


def job(job_id: object, **fields: object) -> dict[str, object]:
    return {"id": job_id, "name": "x", "run_at": AT} | fields


class System:
    """A registry that has read its list once. `read` syncs rows by their ids."""

    def __init__(self, redis: Redis, rest: RestServer, **settings: Any) -> None:
        self.redis, self.rest, self.registry = redis, rest, Registry(redis)
        self.reconciler = Reconciler(redis, Settings(rest_url=rest.url, **settings))
        rest.jobs = rest.jobs or [job(n) for n in range(1, 5)]
        self.sync()

    def sync(self, ids: Sequence[object] | None = None) -> Report:
        report = self.reconciler.sync(time.time, ids=ids)
        assert report is not None
        assert not is_anything_wanted(self.redis)
        return report

    def read(self, *ids: object) -> list[str]:
        """Sync rows, and return the requested paths."""
        del self.rest.requests[:]
        assert self.sync(ids).state == "ok"
        return self.paths

    @property
    def paths(self) -> list[str]:
        return [path.removeprefix(JOBS_PATH) for _, path, _ in self.rest.requests]

    def name(self, job_id: str) -> str:
        return self.registry.get_job(job_id).name


@pytest.fixture
def system(redis: Redis, rest: RestServer) -> System:
    return System(redis, rest)


def test_only_the_rows_with_these_ids_are_read(system: System) -> None:
    system.rest.jobs = [job(1, name="a"), job(2, name="b"), job(3, name="c"), job(5)]
    assert system.read(1, "5") == ["1/", "5/"]
    assert system.name("1") == "a"
    assert system.name("2") == "x", "it was not read"
    assert set(system.registry.read_index()) == {"1", "2", "3", "4", "5"}
    assert load_beginning(system.redis).drift == (False, False)


def test_a_row_that_has_not_changed_is_not_written(system: System) -> None:
    before = system.redis.hgetall(keys.SOURCE), system.redis.hgetall(keys.entry_key("1"))
    assert system.read(1) == ["1/"]
    assert before == (
        system.redis.hgetall(keys.SOURCE),
        system.redis.hgetall(keys.entry_key("1")),
    )


def test_the_next_read_of_the_list_is_a_whole_one(system: System) -> None:
    system.rest.jobs[0] = job(1, name="a")
    system.read(1)
    assert system.sync().not_modified is False
    assert system.sync().not_modified is True


@pytest.mark.parametrize("code", [404, 410, 405, 500])
def test_a_row_that_is_not_there_has_the_list_decide(system: System, code: int) -> None:
    del system.rest.jobs[1]
    system.rest.answer = lambda handler: handler.path != JOBS_PATH and status(code)(handler)
    assert system.read(2)[-1] == ""
    assert set(system.registry.read_index()) == {"1", "3", "4"}


def test_a_row_that_is_still_listed_is_not_removed(system: System) -> None:
    system.rest.answer = lambda handler: handler.path != JOBS_PATH and status(404)(handler)
    assert system.read(2) == ["2/", ""]
    assert "2" in system.registry.read_index()


def test_the_limit_of_removals_holds_for_rows_that_are_not_there(
    redis: Redis, rest: RestServer
) -> None:
    rest.jobs = [job(n) for n in range(30)]
    system = System(redis, rest)
    rest.jobs = [job(0)]
    assert system.sync([5]).state == "refused"
    assert system.registry.count() == 30


@pytest.mark.parametrize(
    "ids", [["*"], ["1", "*"], range(1, 202), [""], ["x" * 201], ["a\nb"], ["."], [".."]]
)
def test_what_cannot_be_read_row_by_row_has_the_list_read(
    system: System, ids: list[object]
) -> None:
    assert system.read(*ids) == [""]


def test_a_poke_that_is_no_text_has_the_list_read(system: System) -> None:
    system.redis.lpush(keys.POKE, b"\xff", "1")
    assert system.read() == [""]


def test_two_hundred_rows_are_read_one_by_one(redis: Redis, rest: RestServer) -> None:
    rest.jobs = [job(n) for n in range(200)]
    system = System(redis, rest)
    assert len(system.read(*range(200))) == 200
    assert "" not in system.paths


@pytest.mark.parametrize("wrapped", ["job", "data", "result"])
def test_a_row_in_an_object_is_unwrapped(system: System, wrapped: str) -> None:
    body = b'{"%s": {"id": 2, "name": "new", "run_at": "2099-01-01T00:00:00Z"}}' % wrapped.encode()
    system.rest.answer = lambda handler: handler.path != JOBS_PATH and reply(200, body)(handler)
    assert system.read(2) == ["2/"]
    assert system.name("2") == "new"


@pytest.mark.parametrize(
    "body", [b"[]", b"<html>", b"{}", b'{"id": 3, "name": "x"}', b'{"jobs": []}', b"[" * 100_000]
)
def test_an_answer_that_is_not_the_row_has_the_list_read(system: System, body: bytes) -> None:
    system.rest.answer = lambda handler: handler.path != JOBS_PATH and reply(200, body)(handler)
    system.rest.jobs[1] = job(2, name="new")
    assert system.read(2) == ["2/", ""]
    assert system.name("2") == "new"


def test_an_id_is_quoted_in_the_path(redis: Redis, rest: RestServer) -> None:
    rest.jobs = [job("a/b?c d%é")]
    system = System(redis, rest)
    rest.jobs = [job("a/b?c d%é", name="new")]
    assert system.read("a/b?c d%é") == ["a%2Fb%3Fc%20d%25%C3%A9/"]
    assert system.name("a/b?c d%é") == "new"


@pytest.mark.parametrize(
    ("listed", "path", "asked"),
    [
        ("/jobs", "{REST_JOBS_PATH}{id}/", "/jobs/1/"),
        ("/jobs/?tenant=7", "{REST_JOBS_PATH}{id}/", "/jobs/1/?tenant=7"),
        ("/jobs", "{REST_JOBS_PATH}/{id}.json", "/jobs/1.json"),
        ("/jobs", "/job?id={id}", "/job?id=1"),
    ],
)
def test_the_path_of_a_job(
    redis: Redis, rest: RestServer, listed: str, path: str, asked: str
) -> None:
    body = b'{"id": 1, "name": "x", "run_at": "2099-01-01T00:00:00Z"}'

    def answer(handler: Handler) -> bool:
        return reply(200, body if handler.path == asked else b"[%s]" % body)(handler)

    rest.answer = answer
    system = System(redis, rest, rest_jobs_path=listed, rest_job_path=path)
    assert system.read(1) == [asked]


def test_the_mapping_applies_to_a_row(redis: Redis, rest: RestServer) -> None:
    rest.jobs = [{"uuid": "u", "title": "old", "run_at": AT, "id": "u"}]
    system = System(redis, rest, rest_mapping={"id": "uuid", "name": "title"})
    rest.jobs[0]["title"] = "new"
    assert system.read("u") == ["u/"]
    assert system.name("u") == "new"


def test_a_mapping_that_selects_rows_has_the_list_read(redis: Redis, rest: RestServer) -> None:
    system = System(redis, rest, rest_mapping={"jobs": "[?name != 'hidden']"})
    rest.jobs[0] = job(1, name="hidden")
    assert system.read(1) == [""]
    assert "1" not in system.registry.read_index()


def test_a_rejected_row_leaves_the_other_rejected_rows(system: System) -> None:
    system.rest.jobs = [job(1, run_at="x"), job(2), job(3), job(4, run_at="y")]
    system.sync()
    system.rest.jobs[1] = job(2, run_at="z")
    system.read(2)
    assert {each.id for each in read_rejected(system.redis)} == {"1", "2", "4"}
    system.rest.jobs[0] = job(1, name="mended")
    system.read(1)
    assert {each.id for each in read_rejected(system.redis)} == {"2", "4"}
    assert system.name("1") == "mended"
    assert load_beginning(system.redis).drift == (False, False)
    system.sync()
    assert {each.id for each in read_rejected(system.redis)} == {"2", "4"}


@pytest.mark.parametrize(("first", "second"), [("queue", "notify"), ("notify", "queue")])
def test_queues_are_compared_with_those_of_jobs_that_are_not_read(
    redis: Redis, rest: RestServer, first: str, second: str
) -> None:
    use: dict[str, dict[str, object]] = {
        "queue": {"queue": "q"},
        "notify": {"notify": {"queue": "q"}},
    }
    rest.jobs = [job(1, **use[first]), job(2)]
    system = System(redis, rest)
    rest.jobs[1] = job(2, **use[second])
    assert system.read(2) == ["2/", ""]
    assert [each.id for each in read_rejected(system.redis)] == ["2"]
    rest.jobs[0] = job(1, name="new", **use[first])
    assert system.read(1) == ["1/"], "its queues are those that it had"


def test_jobs_from_a_file_are_read_as_a_whole(redis: Redis, tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    reconciler = Reconciler(redis, Settings(rest_url=f"file://{file}"))
    for name in ("old", "new"):
        file.write_text(json.dumps([job(1, name=name), job(2)]))
        report = reconciler.sync(time.time, ids=["1"])
        assert report is not None
        assert report.state == "ok", report.detail
        assert Registry(redis).get_job("1").name == name


def test_a_registry_that_is_gone_has_the_list_read(system: System) -> None:
    system.redis.delete(keys.GENERATION)
    assert system.read(1) == [""]


def test_another_installation_reads_nothing(redis: Redis, rest: RestServer) -> None:
    System(redis, rest)
    with RestServer([job(1, name="of another")]) as another:
        reconciler = Reconciler(redis, Settings(rest_url=another.url))
        report = reconciler.sync(time.time, ids=[1])
    assert report is not None
    assert report.state == "refused"
    assert another.requests == []


def test_a_poke_during_a_read_leads_to_another(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list was read before the edit, and does not undo it."""
    # The row is not read beside the list.
    monkeypatch.setattr(meanwhile, "LOOK_EVERY", PATIENCE)
    edits, busy = iter([job(1, name="edited")]), []

    def edit(handler: Handler) -> bool:
        listed = json.dumps(system.rest.jobs).encode()
        if (row := next(edits, None)) is None:
            return False
        system.rest.jobs = [row, *system.rest.jobs[1:]]
        system.redis.lpush(keys.POKE, "1")
        busy.append(system.reconciler.sync(time.time, ids=[]))
        return reply(200, listed)(handler)

    system.rest.answer = edit
    del system.rest.requests[:]
    system.sync()
    assert system.paths == ["", "1/"]
    assert busy == [None]
    assert system.name("1") == "edited"


def test_what_a_sync_had_taken_that_died_is_read_by_the_next(system: System) -> None:
    system.redis.lpush(keys.POKE, "1")
    with sync_lock(system.redis) as fence:
        assert fence is not None
        assert system.reconciler.sync(time.time, ids=["2"]) is None
        assert take_wanted(system.redis) == {"1", "2"}
    assert is_anything_wanted(system.redis)
    assert system.read("3") == ["1/", "2/", "3/"]


def test_nothing_is_read_where_nothing_is_wanted(system: System) -> None:
    del system.rest.requests[:]
    assert system.reconciler.sync(time.time, ids=[]) is None
    assert system.paths == []


@pytest.fixture
def poked(live: Live, redis: Redis, rest: RestServer) -> Callable[..., list[str]]:
    """Poke ids, and return the paths that were read once a condition holds."""

    def poke(ids: Sequence[object], condition: Callable[[], object]) -> list[str]:
        wait_for_syncs(redis)
        del rest.requests[:]
        redis.lpush(keys.POKE, *ids)
        wait_until(condition, "the edit")
        wait_for_syncs(redis)
        return [path.removeprefix(JOBS_PATH) for _, path, _ in rest.requests]

    return poke


def test_a_poked_edit_counts_at_once_while_every_slot_is_busy(
    live: Live, redis: Redis, poked: Callable[..., list[str]]
) -> None:
    live.service.held.add("busy")
    row = {"id": "busy", "every": 1}
    live.start(row, *map(job, ("1", "2", "3")), slots=1, SYNC_INTERVAL="3600")
    wait_until(lambda: live.service.going(), "the call that keeps the only slot busy")
    registry = Registry(redis)
    (row,) = [row for row in live.rest.jobs if row["id"] == "2"]
    row["name"] = "edited"
    edited = lambda: registry.get_job("2").name == "edited"  # noqa: E731
    assert poked(["2"], edited) == ["2/"]
    live.rest.jobs.append(row | {"id": "4"})
    assert "" in poked(range(1000, 1250), lambda: "4" in registry.read_index())
    live.rest.jobs.append(row | {"id": "5"})
    assert poked(["*"], lambda: "5" in registry.read_index()) == [""]
    live.rest.jobs.remove(row)
    assert poked(["2"], lambda: "2" not in registry.read_index()) == ["2/", ""]
    assert len(live.service.going()) == 1
    live.service.held.clear()


def test_two_workers_read_a_poked_row_once(
    redis: Redis, rest: RestServer, celery: Celery, poked: Callable[..., list[str]]
) -> None:
    rest.jobs = [job(1), job(2)]
    celery.env["CRON_TASKS_SYNC_INTERVAL"] = "3600"
    for _ in range(2):
        celery.worker(1).wait_for("ready")
    celery.beat()
    wait_until(lambda: Registry(redis).count() == 2, "the first sync")
    for number in range(3):
        rest.jobs[0] = job(1, name=f"edit {number}")
        edited = lambda n=number: Registry(redis).get_job("1").name == f"edit {n}"  # noqa: E731
        assert poked([1, 1, "1"], edited) == ["1/"]


def test_a_sync_whose_worker_died_is_asked_for_again(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [job(1), job(2)]
    celery.env["CRON_TASKS_SYNC_INTERVAL"] = "3600"
    first, _ = celery.worker(1), celery.beat()
    wait_until(lambda: Registry(redis).count() == 2, "the first sync")
    wait_for_syncs(redis)
    rest.jobs[0], reading = job(1, name="edited"), []

    def hold(handler: Handler) -> bool:
        reading.append(handler.path)
        return not first.alive or handler.rest.stopping.wait()

    rest.answer = lambda handler: first.alive and hold(handler)
    redis.lpush(keys.POKE, "1")
    wait_until(lambda: reading, "the sync to read")
    first.kill()
    celery.worker(1)
    wait_until(lambda: Registry(redis).get_job("1").name == "edited", "the edit")
    assert reading == [f"{JOBS_PATH}1/"]
