"""Requests to the pages without a browser: permissions, and the errors when Redis is away."""

import http.client
import json
import re
import time
from base64 import b64encode
from collections.abc import Iterator

import pytest
from flower_process import Flower
from helpers import PATIENCE, wait_until
from pages_world import World, make_world

from cron_tasks.registry.registry import Registry
from cron_tasks.runs.trail import read_actions
from cron_tasks.store import keys
from cron_tasks.text.trace_ids import trace_id_of

PAUSE = (("action", "pause"), ("id", "manual"), ("reason", "tried"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("pages")) as made:
        yield made


def is_paused(world: World, job_id: str = "manual") -> bool:
    (found,) = Registry(world.redis).read_jobs([job_id])
    return found.paused is not None


@pytest.mark.parametrize("path", ["/health", "/jobs", "/jobs/import", "/upcoming"])
def test_each_page_of_each_flower(world: World, path: str) -> None:
    """With a login, under a prefix, and without a login. Only our own files run."""
    for flower in (world.flower, world.read_only, world.open):
        page = flower.get(path)
        assert page.status == 200, page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        for link in ("health", "jobs", "upcoming"):
            assert f'href="{flower.prefix}/{link}"' in page.text
        for source in re.findall(r'(?:src|href)="(/[^"]*)"', page.text):
            assert source.startswith(flower.prefix + "/"), source
        assert not re.search(r"<script(?! src=)|style=|onclick=", page.text)
    assert world.flower.get(path, Authorization="").status == 401


@pytest.mark.parametrize("path", ["/", "/tasks", "/broker"])
def test_flowers_own_pages_link_to_ours(world: World, path: str) -> None:
    assert f'href="{world.read_only.prefix}/health"' in world.read_only.get(path).text


@pytest.mark.parametrize("name", ["pages.css", "pages.js"])
def test_our_files_are_served(world: World, name: str) -> None:
    assert world.read_only.get(f"/cron-tasks/static/{name}").status == 200


def test_the_address_of_actions_is_not_a_page(world: World) -> None:
    assert world.flower.get("/cron-tasks/act").status == 405
    assert world.flower.get("/cron-tasks/act", Authorization="").status in (401, 405)


def test_an_action_needs_the_login_the_token_and_our_own_page(world: World) -> None:
    flower = world.flower
    refused = [
        flower.post(*PAUSE, token=False),
        flower.post(*PAUSE, ("_xsrf", "made up"), token=False),
        flower.post(*PAUSE, Origin="http://evil.example"),
        flower.post(*PAUSE, Origin="null"),
        flower.post(*PAUSE, Sec_Fetch_Site="cross-site"),
        flower.post(*PAUSE, Sec_Fetch_Site="same-site"),
    ]
    assert [reply.status for reply in refused] == [403] * len(refused)
    assert flower.post(*PAUSE, token=False, Authorization="").status in (401, 403)
    assert not is_paused(world)
    assert flower.post(*PAUSE, Origin=flower.origin, Sec_Fetch_Site="same-origin").status == 303
    assert is_paused(world)
    assert flower.post(("action", "resume"), ("id", "manual")).status == 303
    assert not is_paused(world)


def test_read_only_and_without_a_login_nothing_can_be_done(world: World) -> None:
    for flower, why in ((world.read_only, "read-only"), (world.open, "need a login")):
        reply = flower.post(*PAUSE, token=False)
        assert reply.status == 403
        page = flower.get("/jobs/manual").text
        assert why in page
        assert 'method="post"' not in page.replace('id="bulk"', "")
        assert 'value="pause"' not in page
        assert 'value="pause"' not in flower.get("/jobs").text
    assert not is_paused(world)


@pytest.mark.parametrize("back", ["//evil.example", "http://evil.example/health", "/\\evil", "x"])
def test_an_action_leads_back_to_one_of_our_pages(world: World, back: str) -> None:
    reply = world.flower.post(("action", "resume"), ("id", "manual"), ("back", back))
    assert (reply.status, reply.headers["Location"]) == (303, "/health")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ([("action", "pause"), ("id", "manual")], "Give a reason"),
        ([("action", "pause"), ("id", "plantz"), ("reason", "x")], "did you mean"),
        ([("action", "explode"), ("id", "manual")], "There is no action"),
        ([("action", "pause"), ("reason", "x")], "Nothing was selected"),
        ([("action", "retry"), ("id", "not a run")], "is not a run ID"),
        ([("action", "cancel"), ("id", "manual@2026-01-01T00:00:00Z")], "was not found"),
        ([("action", "backfill"), ("id", "plants"), ("start", "soon")], "Examples: 2h (ago)"),
        ([("action", "undo skip"), ("id", "plants")], "no upcoming skip"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    world: World, fields: list[tuple[str, str]], sentence: str
) -> None:
    reply = world.flower.post(*fields, ("back", "/jobs"))
    assert reply.status == 303
    cookie = reply.headers["Set-Cookie"].split(";")[0]
    page = world.flower.get("/jobs", Cookie=cookie).text
    assert sentence in page.replace("&#x27;", "'").replace("&quot;", '"')


def test_runs_are_retried_and_made_up_for(world: World) -> None:
    """All failed runs of a job, one of them, and those of a period. The trail has the person's
    name."""
    wait_until(lambda: world.redis.zcard(keys.FAILED) > 2, "failed runs")
    run_id = next(each for each in world.redis.zrange(keys.FAILED, 0, -1) if "import" in each)
    assert world.flower.post(("action", "retry"), ("id", run_id)).status == 303
    done = read_actions(world.redis, 1)[0]
    assert (done.who, done.what, done.ids) == ("ann", "retry", (run_id,))
    question = world.flower.post(("action", "retry"), ("every", "yes"), ("tag", "warehouse"))
    assert question.status == 200
    assert "Retry" in question.text
    period = (("start", "1h"), ("end", ""))
    assert world.flower.post(("action", "backfill"), ("id", "often"), *period).status == 303
    assert read_actions(world.redis, 1)[0].what == "backfill"


def test_the_runs_of_a_job_link_to_their_traces(world: World) -> None:
    """Each past run has a link, and so has the answer about a time."""
    line = json.loads(world.redis.lindex(keys.HISTORY_PREFIX + "import", 0) or "")
    at, trace = line["scheduled_for"], trace_id_of(line["run_id"])
    link = f'href="https://traces.example/t?id={trace}&amp;view=a" rel="noreferrer"'
    page = world.flower.get(f"/jobs/import?at={at}").text
    assert page.count(link) == 2
    assert "traces.example" not in world.flower.get("/jobs/manual?at=09:00").text


def test_an_unknown_job_names_the_nearest(world: World) -> None:
    page = world.flower.get("/jobs/plantz")
    assert page.status == 404
    assert "did you mean" in page.text


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=99999", "page=x", "state=odd", "q=%00"]
)
def test_odd_arguments_are_no_errors(world: World, query: str) -> None:
    assert world.flower.get(f"/jobs?{query}").status == 200


def test_a_state_that_is_unknown_selects_no_job(world: World) -> None:
    """Otherwise an action on all matches would affect all jobs."""
    assert "No job matches" in world.flower.get("/jobs?state=odd").text
    before = world.redis.xlen(keys.ACTIONS)
    fields = (("action", "resume"), ("every", "yes"), ("state", "odd"))
    assert world.flower.post(*fields).status == 303
    assert world.redis.xlen(keys.ACTIONS) == before


def test_a_cause_with_white_space_around_it_can_be_acted_on(world: World) -> None:
    line = {"run_id": "many-1@2026-11-23T09:00:00Z", "scheduled_for": "2026-11-23T09:00:00Z"}
    line |= {"status": "failed", "started_at": 1.0, "finished_at": 2.0, "error": " boom "}
    line |= {"reason": None, "attempt": 1, "worker": "w"}
    world.redis.lpush(keys.HISTORY_PREFIX + "many-1", json.dumps(line))
    world.redis.hset(keys.FAILING, "many-1", 1)
    fields = (("action", "pause"), ("every", "yes"), ("cause", " boom "), ("reason", "x"))
    try:
        assert world.flower.post(*fields).status == 303
        assert read_actions(world.redis, 1)[0].ids == ("many-1",)
    finally:
        world.redis.hdel(keys.FAILING, "many-1")
        world.redis.delete(keys.HISTORY_PREFIX + "many-1")
        world.flower.post(("action", "resume"), ("id", "many-1"))


def test_rejected_rows_are_listed_with_their_errors(world: World) -> None:
    row = {"id": "wrong", "place": "row 9", "errors": ["`every`: is <b>wrong</b>"], "row": None}
    world.redis.hset(keys.REJECTED, "row 9", json.dumps(row))
    page = world.flower.get("/jobs?state=rejected").text
    world.redis.hdel(keys.REJECTED, "row 9")
    assert "1 row of the list is rejected" in page
    assert "`every`: is &lt;b&gt;wrong&lt;/b&gt;" in page


def test_the_stream_tells_open_tabs(world: World) -> None:
    """Each message names the jobs that have changed."""
    connection = http.client.HTTPConnection("127.0.0.1", world.flower.port, timeout=PATIENCE)
    login = b64encode(world.flower.login.encode()).decode()
    connection.request("GET", "/cron-tasks/live", headers={"Authorization": f"Basic {login}"})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    deadline = time.monotonic() + PATIENCE
    seen = ""
    while "often" not in seen and time.monotonic() < deadline:
        seen += answer.readline().decode()
    connection.close()
    assert "often" in seen


def test_what_stands_still_is_the_sentence(world: World) -> None:
    """The worst problem comes first: without a worker, without a beat, without Redis."""

    def headline(flower: Flower) -> str:
        found = re.search(r"<h1[^>]*>(.*?)</h1>", flower.get("/health").text, re.DOTALL)
        return re.sub(r"<[^>]*>|[✗✓!]", "", found[1]).strip() if found else ""

    def says(text: str) -> bool:
        return text in headline(world.flower)

    wait_until(lambda: says("fail"), "the failing jobs on the page")
    world.beat.kill()
    wait_until(lambda: says("no beat leads"), "the missing beat on the page")
    assert re.search(r"Nothing has fired for \d+ s: no beat leads", headline(world.flower))
    world.valkey.kill()
    try:
        wait_until(lambda: world.flower.get("/health").status == 503, "the page without Redis")
        assert says("Redis at redis://")
        assert world.flower.get("/jobs").status == 503
    finally:
        world.valkey.start()
    wait_until(lambda: says("no beat leads"), "the page with Redis")
