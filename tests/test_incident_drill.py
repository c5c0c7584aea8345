"""Incidents on real processes, found and fixed as docs/operations.md describes.

For each: the sentence on the page /health, the alert that fires on a real scrape, the line in the
log, the exit codes of `cron-tasks health`, and the cure. Afterwards everything is green again, and
the runs that did not take place are accounted for.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

import psutil
import pytest
from alerting import ALERTS, check_alerts, scrape
from command_line import CommandLine, Quick
from flower_process import Flower
from guide import Guide
from helpers import NEVER_DUE, PATIENCE, free_port, wait_until
from live import Service
from plug_ins import install
from processes import Process, Valkey, celery_processes
from redis import Redis
from rest_server import RestServer, html, reply

from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys
from cron_tasks.store.client import connect

PORT = "CRON_TASKS_METRICS_PORT"
QUIET: dict[str, Any] = {"notify": {"on": []}}
#: Seconds for which a condition has to last until its alert fires, and a moment more.
HOLDS = {rule["alert"]: {"30s": 60, "1m": 90, "10m": 630}.get(rule.get("for")) for rule in ALERTS}
#: An action that keeps its slot until the drill lets it go.
WAITING = """
import time
from pathlib import Path
from cron_tasks.plugins import CustomAction

class Wait(CustomAction):
    def perform(self, run, settings):
        while not Path(FOLDER, "go on").exists():
            time.sleep(0.1)
"""
WELL = re.compile(r"All is well: \d+ jobs, nothing late")


class Drill:
    """The whole system: two beats, a worker, Flower, the list, and the service that jobs call."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        valkey = Valkey(folder)
        stack.callback(valkey.stop)
        self.redis: Redis = stack.enter_context(connect(valkey.url))
        self.service = stack.enter_context(Service())
        called = {**QUIET, "every": 1}
        self.rows = [
            {"id": each, "name": each.title(), "action": self.service.action(each), **called}
            for each in ("orders", "stock")
        ] + [{"id": f"rare-{n}", "name": f"Rare {n}", **NEVER_DUE, **QUIET} for n in range(20)]
        code = WAITING.replace("FOLDER", repr(str(folder)))
        install(folder, "waiting", code, "wait = waiting:Wait")
        self.rows += [
            {"id": f"slow-{n}", "name": "Slow", "action": {"type": "wait"}, **NEVER_DUE, **QUIET}
            for n in (1, 2)
        ]
        self.rest = stack.enter_context(RestServer(self.rows))
        settings = {"REDIS_URL": valkey.url, "REST_URL": self.rest.url, "CHAT_ID": "100"}
        settings |= {"HTTP_ALLOW": "127.0.0.1"}
        env = {f"CRON_TASKS_{name}": value for name, value in settings.items()}
        self.commands = Quick(folder, **settings)
        self.processes = CommandLine(folder, **settings)
        stack.callback(self.processes.end)
        self.celery = stack.enter_context(celery_processes(env, folder))
        self.ports = {name: free_port() for name in ("first", "second", "worker")}
        self.worker = self.start_worker()
        self.beats = self.start_beats()
        self.flower = Flower(env, folder, login="ann:secret")
        stack.callback(self.flower.process.end)
        self.ports["flower"] = self.flower.port
        self.flower.wait_ready()

    def start_worker(self) -> Process:
        return self.celery.worker(2, **{PORT: str(self.ports["worker"])})

    def start_beats(self) -> list[Process]:
        ports = (str(self.ports[name]) for name in ("first", "second"))
        return [self.celery.beat(**{PORT: port}) for port in ports]

    def page(self, path: str = "/health") -> str:
        """Return the text of a page, without its tags."""
        text = re.sub(r"<(script|style).*?</\1>", "", self.flower.get(path).text, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", "", text)).split())

    def headline(self) -> str:
        found = re.search(r"<h1[^>]*>(.*?)</h1>", self.flower.get("/health").text, re.DOTALL)
        return unescape(re.sub(r"<[^>]+>", "", found[1])) if found else ""

    def sees(self, guide: Guide) -> None:
        """Wait until the page shows a sentence of the guide."""
        wait_until(lambda: guide.finds(self.headline()), f"one of {guide.sentences}", PATIENCE)

    def is_green(self) -> None:
        """Wait until the page, the health command and the audit find nothing wrong."""
        try:
            wait_until(lambda: WELL.search(self.headline()), "the page to be green", PATIENCE)
        except AssertionError:
            raise AssertionError(self.page()) from None
        self.is_ok()
        assert self.commands.json("audit", "--since", "2h")["lost"] == []

    def is_ok(self, *part: str) -> None:
        """Wait until `cron-tasks health` exits 0."""

        def says_so() -> bool:
            try:
                return self.commands.run("health", *part).stdout.startswith("ok")
            except AssertionError:  # It exits 1.
                return False

        wait_until(says_so, f"health {part} to be ok", PATIENCE)

    def sync(self) -> None:
        """Have the list read now, like a service whose list has changed."""
        self.redis.lpush(keys.POKE, "*")

    def well(self) -> dict[str, float]:
        """Return a scrape of the healthy system, including the first audit."""
        wait_until(lambda: self.redis.exists(keys.LOST), "the audit for the metrics", PATIENCE)
        return scrape(self.ports)

    def fires(self, well: dict[str, float], *alerts: str, after: int = 0) -> None:
        """Check that exactly these alerts fire if the current scrape lasts."""
        hold = after or max(HOLDS[alert] or 60 for alert in alerts)
        check_alerts(self.folder, well, scrape(self.ports), {hold: set(alerts)})

    def does(self, guide: Guide, command: str, code: int = 0, **values: str) -> str:
        """Run a command of the guide. Commands that use the Celery app run in a process."""
        _, *words = guide.command(command, **values)
        needs_app = any(word in words for word in ("doctor", "retry", "backfill"))
        needs_app |= words == ["sync"]  # It reads rows with an action of a plug-in.
        line = self.processes if needs_app else self.commands
        return line.run(*words, code=code).stdout

    def logs(
        self, guide: Guide, event: str, process: Process, since: float, **values: str
    ) -> dict[str, Any]:
        """Wait for an event of the guide, with these values, in the log of a process."""
        assert event in guide.events, f"{guide.anchor} does not name {event}"

        def find() -> dict[str, Any]:
            for text in reversed(process.output.splitlines()):
                line = json.loads(text) if text.startswith("{") else {}
                is_event = line.get("event") == event and values.items() <= line.items()
                if is_event and _time_of(line) >= since:
                    return dict(line)
            return {}

        return wait_until(find, f"{event} in {process.log.name}", PATIENCE)


def _time_of(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ExitStack() as stack:
        yield Drill(tmp_path, stack)


@pytest.mark.timeout(600)
def test_each_incident_is_seen_and_mended_as_the_guide_says(drill: Drill) -> None:
    """The incidents share the processes, one after the other."""
    drill.is_green()
    a_service_fails(drill)
    a_list_is_refused(drill)
    a_list_cannot_be_read(drill)
    began = time.time()
    every_slot_is_taken(drill)
    a_worker_freezes(drill, began)
    the_beats_die(drill)


def a_service_fails(drill: Drill) -> None:
    guide, began, well = Guide("Failing"), time.time(), drill.well()
    drill.service.answers |= {"orders": reply(503), "stock": reply(503)}
    wait_until(lambda: drill.redis.hlen(keys.FAILING) == 2, "two failing jobs", PATIENCE)
    drill.sees(guide)
    assert guide.finds("cause: " + drill.page().partition("Failing now")[2])
    drill.fires(well, "Failing")
    line = drill.logs(guide, "run.finished", drill.worker, began, status="failed")
    assert line["level"] == "warning"
    assert "503" in line["error"]
    assert "`cron-tasks health` exits 0" in guide.parts["Cause"]
    drill.is_ok()
    assert "503" in drill.does(guide, "cron-tasks runs --status failed")
    shown = drill.does(guide, "cron-tasks runs show RUN_ID", RUN_ID=line["run_id"])
    assert line["run_id"] in shown
    drill.does(guide, "cron-tasks jobs pause ID --reason TEXT", ID="orders", TEXT="down")
    drill.service.answers.clear()
    drill.does(guide, "cron-tasks jobs resume ID", ID="orders")
    ended = drill.does(guide, "cron-tasks runs retry RUN_ID --wait", RUN_ID=line["run_id"])
    assert "ok after" in ended
    backfill(drill, guide, began, "orders", "stock")
    drill.is_green()
    audit = drill.commands.json("audit", "--since", "2h")
    assert (audit["failed"], audit["missed"]) == (0, {}), audit


def backfill(drill: Drill, guide: Guide, began: float, *job_ids: str) -> None:
    """Run what did not run well since then, of these jobs."""
    _, *words = guide.command("cron-tasks backfill ID --from T --to T")
    start, end = iso_utc(int(began) - 1), iso_utc(int(time.time()))
    for job_id in job_ids:
        drill.processes.run(*words[:1], job_id, words[2], start, words[4], end)


def a_list_is_refused(drill: Drill) -> None:
    guide, began, well = Guide("ListRefused"), time.time(), drill.well()
    drill.rest.jobs = [*drill.rows[:2], {"id": "new", "name": "A new job", **NEVER_DUE, **QUIET}]
    drill.sync()
    drill.sees(guide)
    page = drill.page()
    assert "would remove 22 Rare 0, Rare 1" in page
    assert "would add 1 A new job" in page
    drill.fires(well, "ListRefused")
    line = drill.logs(guide, "sync.refused", drill.worker, began)
    assert "would remove 22 of 24 jobs" in line["detail"]
    for part in ((), ("sync",)):
        done = drill.commands.run("health", *part, code=1)
        assert "refused for" in done.stdout
    assert "would add 1, remove 22" in drill.does(guide, "cron-tasks sync --dry-run", code=1)
    assert "`cron-tasks sync --force` accepts it once" in guide.parts["Cure"]
    assert "22 removed" in drill.does(guide, "cron-tasks sync --force")
    drill.rest.jobs = drill.rows
    drill.does(guide, "cron-tasks sync")
    drill.is_green()


def a_list_cannot_be_read(drill: Drill) -> None:
    guide, began, well = Guide("ListStale"), time.time(), drill.well()
    drill.rest.answer = html()
    drill.sync()
    drill.sees(guide)
    drill.fires(well, "ListStale", after=690)
    drill.logs(guide, "sync.failing", drill.worker, began)
    drill.does(guide, "cron-tasks health sync", code=1)
    drill.does(guide, "cron-tasks sync --dry-run", code=1)
    drill.rest.answer = None
    drill.does(guide, "cron-tasks sync")
    drill.does(guide, "cron-tasks health sync")
    drill.is_green()


def every_slot_is_taken(drill: Drill) -> None:
    guide, well, count_before = Guide("WorkersBusy"), drill.well(), count_missed(drill)
    started = drill.flower.post(
        ("action", "run"), ("id", "slow-1"), ("id", "slow-2"), ("confirmed", "2")
    )
    assert started.status == 303
    drill.sees(guide)
    wait_until(lambda: count_missed(drill) > count_before, "missed ticks", PATIENCE)
    drill.fires(well, "WorkersBusy", "Missed")
    for part in ((), ("worker",)):
        drill.is_ok(*part)
    assert "slow-1" in drill.does(guide, "cron-tasks runs --status running")
    assert "`celery -A cron_tasks worker`" in guide.parts["Cure"]
    another = drill.celery.worker(1)
    drill.is_green()
    (drill.folder / "go on").touch()
    wait_until(lambda: drill.redis.hlen(keys.GOING) < 3, "the long runs to end", PATIENCE)
    another.terminate()


def a_worker_freezes(drill: Drill, began: float) -> None:
    """`began` is when the first tick may have been missed."""
    guide, well = Guide("NoWorkers"), drill.well()
    count_before = count_missed(drill)
    children = psutil.Process(drill.worker.pid).children(recursive=True)
    drill.worker.signal(signal.SIGSTOP)
    drill.sees(guide)
    # What has waited for longer than MISFIRE_GRACE follows the catch-up policy.
    wait_until(lambda: count_missed(drill) > count_before, "missed ticks", PATIENCE)
    drill.fires(well, "NoWorkers", "Missed")
    wait_until(lambda: "No worker of cron_tasks answers" in drill.page(), "the check", PATIENCE)
    said = drill.does(guide, "cron-tasks health worker", code=1)
    assert "No worker is present" in drill.commands.run("health", code=1).stdout
    pid = re.search(r"process id (\d+)", said)
    assert pid, said
    assert int(pid[1]) == drill.worker.pid
    _, kind, target = guide.command("kill -9 PID", PID=pid[1])
    os.kill(int(target), int(kind[1:]))
    drill.worker.popen.wait()
    assert "`celery -A cron_tasks worker`" in guide.parts["Cure"]
    drill.worker = drill.start_worker()
    leader = next(each for each in drill.beats if "beat.leading" in each.output)
    drill.logs(guide, "sweep.done", leader, began)
    drill.is_green()
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1], "its processes have ended with it"
    check_alerts(drill.folder, well, scrape(drill.ports), {60: {"Missed"}, 1200: set()})
    assert drill.does(guide, "cron-tasks audit --since 2h")
    missed = Guide("Missed")
    wait_until(lambda: "× coalesced" in drill.page(), "the missed ticks on the page", PATIENCE)
    assert "coalesced" in drill.does(missed, "cron-tasks runs --status missed --since 1h")
    assert drill.commands.json("audit", "--since", "2h")["missed"]
    backfill(drill, missed, began, "orders", "stock")
    assert drill.commands.json("audit", "--since", "2h")["missed"] == {}


def count_missed(drill: Drill) -> int:
    return int(drill.redis.hget(keys.METRICS, "ticks_total|missed|coalesced") or 0)


def the_beats_die(drill: Drill) -> None:
    guide, began, well = Guide("NoLeader"), time.time(), drill.well()
    for beat in drill.beats:
        beat.kill()
    died = time.time()
    drill.sees(guide)
    assert "No beat is leading, so no job fires. The last to lead was the beat on" in drill.page()
    drill.fires(well, "NoLeader")
    drill.does(guide, "cron-tasks doctor", code=1)
    for part in ((), ("beat",)):
        drill.commands.run("health", *part, code=1)
    assert "`celery -A cron_tasks beat`" in guide.parts["Cure"]
    drill.beats = drill.start_beats()
    wait_until(lambda: drill.redis.exists(keys.LEADER_LOCK), "a leader", PATIENCE)
    wait_until(
        lambda: drill.service.calls[-1].tick > time.time() - 2, "a run after the incident", PATIENCE
    )
    leads = [each for each in drill.beats if "beat.leading" in each.output]
    drill.logs(guide, "beat.leading", leads[0], began)
    drill.is_green()
    tick = iso_utc(int(died))
    said = drill.does(guide, "cron-tasks why ID --at T", ID="orders", T=tick)
    assert "was due at" in said, said
    audit = drill.commands.json("audit", "--since", "2h")
    assert (audit["lost"], audit["failed"], audit["doubled"]) == ([], 0, []), audit
