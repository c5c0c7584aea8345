"""The pages in headless Chromium, with a real Flower, Redis, beat and worker."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from helpers import wait_until
from pages_world import HOSTILE, LOGIN, World, find_chromium, make_world
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from rest_server import reply

from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.trail import read_actions
from cron_tasks.store import keys

USER, _, PASSWORD = LOGIN.partition(":")
PATHS = ("/health", "/jobs?tag=warehouse", "/jobs/manual", "/upcoming")
#: What axe looks for: everything in light. The scheme changes nothing but colours.
AXE: dict[str, Any] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
}
#: Milliseconds in which a tab shows what has changed, also on a busy machine.
PATIENCE = 20_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    find_chromium()
    with make_world(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[list[BrowserContext]]:
    contexts: list[BrowserContext] = []
    yield contexts
    for context in contexts:
        context.close()


def open_tab(
    browser: Browser, world: World, opened: list[BrowserContext], path: str, **options: Any
) -> Page:
    context = browser.new_context(
        http_credentials={"username": USER, "password": PASSWORD}, **options
    )
    opened.append(context)
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto(world.flower.url(path), wait_until="domcontentloaded")
    return tab


def resume(world: World, *job_ids: str) -> None:
    for job_id in job_ids:
        assert world.flower.post(("action", "resume"), ("id", job_id)).status == 303


def test_axe_finds_nothing(browser: Browser, world: World, opened: list[BrowserContext]) -> None:
    """It checks light and dark, at 1280 and at 380 px. Nothing is wider than the window."""
    options = {"bypass_csp": True, "reduced_motion": "reduce"}
    tab, faults = open_tab(browser, world, opened, "/health", **options), []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    for path in PATHS:
        tab.goto(world.flower.url(path), wait_until="domcontentloaded")
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        for width in (1280, 380):
            tab.set_viewport_size({"width": width, "height": 800})
            wider = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{path} is {wider} px too wide at {width}"
            for scheme in ("light", "dark"):
                tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                expect(tab.locator("html")).to_have_attribute("data-bs-theme", scheme)
                found = Axe().run(tab, options=AXE[scheme])["violations"]
                faults += [(path, width, scheme, each["id"], each["nodes"][0]) for each in found]
    assert faults == []


def test_a_hostile_name_is_only_text(
    browser: Browser, world: World, opened: list[BrowserContext]
) -> None:
    """No page runs it, and the browser reports no script or style that our rules forbid."""
    tab, said = open_tab(browser, world, opened, "/jobs?q=quoted"), []
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    tab.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    expect(tab.locator("tbody tr")).to_have_count(1)
    expect(tab.get_by_role("link", name=HOSTILE)).to_be_visible()
    tab.get_by_role("link", name=HOSTILE).click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    assert tab.url.endswith("/jobs/a%2Fb%3Fc")
    for path in PATHS:
        tab.goto(world.flower.url(path), wait_until="load")
    assert said == []


def test_keys(browser: Browser, world: World, opened: list[BrowserContext]) -> None:
    """The list can be searched and walked by keys, and a letter in a field is a letter."""
    tab = open_tab(browser, world, opened, "/jobs?tag=many")
    tab.keyboard.press("Tab")
    expect(tab.locator(".skip-link")).to_be_focused()
    tab.keyboard.press("/")
    expect(tab.locator("#search")).to_be_focused()
    tab.keyboard.type("many jk?")
    expect(tab.locator("#search")).to_have_value("many jk?")
    tab.locator("#search").fill("of many 1")
    tab.keyboard.press("Enter")
    expect(tab.locator("tbody tr")).to_have_count(15)
    tab.wait_for_load_state()  # The rows are there before the script that listens to keys.
    rows = tab.locator("[data-open]")
    for key, number in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        tab.keyboard.press(key)
        expect(rows.nth(number)).to_be_focused()
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_be_hidden()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("One of many 10")


def test_without_javascript(browser: Browser, world: World, opened: list[BrowserContext]) -> None:
    """Search, pause with a reason, resume and run, all with plain forms."""
    tab = open_tab(browser, world, opened, "/jobs", java_script_enabled=False)
    tab.locator("#search").fill("plants")
    tab.get_by_role("button", name="Search").click()
    tab.get_by_role("link", name="Water the plants").click()
    tab.get_by_label("Reason for the pause").fill("moving house")
    tab.get_by_role("button", name="Pause").click()
    expect(tab.get_by_role("status").first).to_contain_text("Job plants is paused: moving house")
    assert tab.url.endswith("/jobs/plants")
    expect(tab.get_by_text("Paused since")).to_contain_text("moving house")
    tab.get_by_role("button", name="Resume").click()
    expect(tab.get_by_role("status").first).to_contain_text("Job plants: resumed")
    tab.get_by_role("button", name="Skip the next tick").click()
    expect(tab.get_by_text("will be skipped")).to_be_visible()
    tab.get_by_role("button", name="Undo the skip").click()
    expect(tab.get_by_text("will be skipped")).to_have_count(0)
    tab.get_by_role("button", name="Run now").click()
    wait_until(lambda: world.redis.llen(keys.HISTORY_PREFIX + "plants"), "the run to end")
    tab.reload()
    expect(tab.locator(".cron-timeline li")).to_have_count(1)
    tab.get_by_label("Time in Europe/Berlin").fill("2099-01-01T09:00")
    tab.get_by_role("button", name="Explain").click()
    expect(tab.get_by_text("Job plants is due at 2099-01-01T09:00:00+01:00")).to_be_visible()


def test_two_tabs(browser: Browser, world: World, opened: list[BrowserContext]) -> None:
    """One tab shows the actions of the other one. An action that was already performed changes
    nothing."""
    first = open_tab(browser, world, opened, "/jobs?q=by+hand")
    second = open_tab(browser, world, opened, "/jobs/manual")
    third = open_tab(browser, world, opened, "/jobs/manual")
    second.get_by_label("Reason for the pause").fill("two tabs")
    third.get_by_label("Reason for the pause").fill("later")
    second.get_by_role("button", name="Pause").click()
    expect(first.get_by_text("paused: two tabs")).to_be_visible(timeout=PATIENCE)
    # The third tab keeps its form, because somebody writes in it.
    third.get_by_role("button", name="Pause").click()
    expect(third.get_by_text("Job manual is paused: later")).to_be_visible()
    third.get_by_role("button", name="Resume").click()
    expect(first.get_by_text("paused:")).to_have_count(0, timeout=PATIENCE)
    first.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    first.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert first.evaluate("source") is None, "a hidden tab holds no connection"


def test_a_page_that_is_not_up_to_date_says_so(
    browser: Browser, world: World, opened: list[BrowserContext]
) -> None:
    """It does not look current while Redis hangs, or when no messages come any more."""
    tab = open_tab(browser, world, opened, "/health")
    unheard = open_tab(browser, world, opened, "/upcoming")
    unheard.clock.install()
    unheard.route("**/cron-tasks/live", lambda route: route.fulfill(status=503))
    unheard.reload(wait_until="load")
    unheard.clock.fast_forward(12_000)
    expect(unheard.locator("#live-state")).to_have_text("Updated every 10 s")
    unheard.route("**/upcoming", lambda route: None)
    unheard.clock.fast_forward(45_000)
    expect(unheard.locator("#stale")).to_have_text(re.compile("Not up to date: no news for"))
    world.valkey.freeze()
    frozen = time.time()
    try:
        expect(tab.locator("#stale")).to_contain_text("Not up to date: Redis at", timeout=PATIENCE)
        shown = tab.locator("#as-of time").get_attribute("datetime")
        tab.goto(world.flower.url("/jobs"), wait_until="load")
        expect(tab.get_by_role("heading", level=1)).to_contain_text("Redis at")
    finally:
        world.valkey.thaw()
    assert datetime.fromisoformat(shown or "").timestamp() < frozen + 1
    expect(tab.get_by_role("heading", level=1)).to_have_text("Jobs", timeout=PATIENCE)
    expect(tab.locator("#stale")).to_be_hidden()


def test_many_jobs_at_once(browser: Browser, world: World, opened: list[BrowserContext]) -> None:
    """The jobs of a filter are paused together, after a question, and the trail has the person's
    name."""
    tab = open_tab(browser, world, opened, "/jobs?tag=many")
    tab.get_by_text("Change many jobs").click()
    tab.get_by_label("All 60 that match").check()
    tab.get_by_label("Reason for the pause").fill("maintenance")
    tab.get_by_role("button", name="Pause").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Pause 60 jobs?")
    tab.get_by_role("button", name="Yes").click()
    expect(tab.get_by_text("60 jobs paused: maintenance")).to_be_visible()
    expect(tab.locator("tbody .cron-warn")).to_have_count(50)
    assert tab.url.endswith("/jobs?tag=many")
    done = read_actions(world.redis, 1)[0]
    assert (done.who, done.via, done.what, done.count) == ("ann", "flower", "pause", 60)
    world.flower.process.wait_for('"event": "action.by_hand"')
    tab.goto(world.flower.url("/jobs?state=paused"))
    expect(tab.locator(".cron-count")).to_contain_text("60 jobs of")
    resume(world, "many-0")


def test_health_tells_what_fails_until_it_does_not(
    browser: Browser, world: World, opened: list[BrowserContext]
) -> None:
    """Failures are grouped by cause, can be paused together, and disappear by themselves."""
    tab = open_tab(browser, world, opened, "/health")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("2 jobs of 66 fail")
    cause = tab.locator(".cron-card").filter(has_text="HTTP 503 from 127.0.0.1")
    expect(cause.get_by_role("heading")).to_contain_text("2 jobs fail since")
    cause.get_by_placeholder("Reason").fill("503s")
    cause.get_by_role("button", name="Pause these").click()
    tab.get_by_role("button", name="Yes").click()
    expect(tab.get_by_text("2 jobs paused: 503s")).to_be_visible()
    world.service.answers.clear()
    resume(world, "import", "export")
    expect(tab.get_by_text("No job has failed at its last run")).to_be_visible(timeout=PATIENCE)
    world.service.answers |= {"import": reply(503), "export": reply(503)}
    expect(tab.get_by_role("heading", level=1)).to_contain_text("fail", timeout=PATIENCE)


def test_flowers_own_list_shows_failed_runs(world: World) -> None:
    """Celery's task has succeeded. Flower shows the status of its run."""
    columns = "".join(f"&columns[{n}][data]={name}" for n, name in enumerate(("name", "uuid")))
    query = "draw=1&start=0&length=500&search[value]=&order[0][column]=0&order[0][dir]=asc"

    def states() -> dict[str, set[str]]:
        text = world.flower.get(f"/tasks/datatable?{query}{columns}").text
        found: dict[str, set[str]] = {"import": set(), "often": set()}
        for uuid, state in re.findall(r'"uuid": "([^"]+)"[^}]*?"state": "(\w+)"', text):
            found.setdefault(RunId.stored(uuid).job_id, set()).add(state)
        return found

    wait_until(lambda: "FAILURE" in states()["import"], "a failed run in Flower's list")
    wait_until(lambda: "SUCCESS" in states()["often"], "a good run in Flower's list")
    assert "FAILURE" not in states()["often"]
