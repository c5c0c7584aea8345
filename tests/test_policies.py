"""Retries, timeouts, overlap and death of a worker, with real processes.

The jobs' action is a plug-in whose behaviour is named in the job: `Behave`.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import NEVER_DUE, ended_runs, wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.settings import Settings
from cron_tasks.store import keys

BEHAVE = """
import os, signal, time
from pathlib import Path
from cron_tasks.plugins import ActionFailed, CustomAction

class Behave(CustomAction):
    how: str
    log: str

    def perform(self, run, settings):
        with open(self.log, "a") as log:
            log.write(f"{run.job.id} {run.attempt} {run.run_id}\\n")
        return getattr(self, self.how)(run)

    def ok(self, run):
        return "all well"

    def flaky(self, run):
        if run.attempt < 3:
            raise ActionFailed(f"not yet ({run.attempt})", permanent=False)
        return "at last"

    def fail(self, run):
        raise ActionFailed("always", permanent=False)

    def refuse(self, run):
        raise ActionFailed("no such thing", permanent=True)

    def hold(self, run):
        while not Path(self.log + ".released").exists():
            time.sleep(0.02)

    def long(self, run):
        time.sleep(17)  # This action outlives a lease of 15 s.

    def hang(self, run):
        time.sleep(60)  # until the worker ends it

    def stubborn(self, run):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                time.sleep(0.1)
            except BaseException:
                pass

    def die(self, run):
        os.kill(os.getpid(), signal.SIGKILL)
"""
RETRY = {"max_attempts": 3, "backoff": 0.05}


@pytest.fixture
def system(celery: Celery, rest: RestServer, tmp_path: Path) -> Callable[..., None]:
    """Start beat and a worker with a number of processes, with these jobs."""
    (tmp_path / "behave.py").write_text(BEHAVE)
    info = tmp_path / "behave-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: behave\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cron_tasks.actions]\nbehave = behave:Behave\n")

    def start(*rows: dict[str, Any], slots: int = 8) -> None:
        rest.jobs = list(rows)
        env = {"PYTHONPATH": str(tmp_path)}
        celery.worker(slots, **env)
        celery.beat(**env)

    return start


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(name: str, how: str, **fields: Any) -> dict[str, Any]:
        action = {"type": "behave", "how": how, "log": str(tmp_path / "log")}
        schedule = {} if "every" in fields else NEVER_DUE
        return {"id": name, "name": name, "action": action, **schedule, **fields}

    return make


def run(redis: Redis, *job_ids: str) -> None:
    """Run a job like `jobs run`, but let beat publish the message."""
    entry_keys = [keys.entry_key(job_id) for job_id in job_ids]
    wait_until(lambda: redis.exists(*entry_keys) == len(entry_keys), "the jobs")
    now = time.time()
    ticks = [RunId(job_id, round(now, 3)) for job_id in job_ids]
    assert len(Ledger(redis, Settings()).open(ticks, now)) == len(ticks)


def ended(redis: Redis, job_id: str) -> dict[str, Any]:
    """Return the record of a job's newest run, once there is one."""
    return wait_until(lambda: ended_runs(redis, job_id), f"{job_id} to end")[0]


def told(redis: Redis, job_id: str) -> list[str]:
    messages = map(json.loads, redis.lrange("queue:to_telegram", 0, -1))
    return [message["event"] for message in messages if message["job_id"] == job_id]


def test_retries(
    redis: Redis, system: Callable[..., None], job: Callable[..., dict[str, Any]]
) -> None:
    events = {"on": ["success", "failure", "retry", "recovered"]}
    system(
        job("flaky", "flaky", retry=RETRY, notify=events),
        job("dead", "fail", retry=RETRY, notify=events),
        job("refused", "refuse", retry=RETRY, notify=events),
        job("patient", "fail", retry={"max_attempts": 2, "backoff": 600}),
    )
    run(redis, "flaky", "dead", "refused", "patient")
    flaky = ended(redis, "flaky")
    assert (flaky["status"], flaky["attempt"], flaky["output"]) == ("ok", 3, "at last")
    assert [each["error"] for each in flaky["attempts"]] == ["not yet (1)", "not yet (2)"]
    assert told(redis, "flaky") == ["retry", "retry", "success"]
    dead = ended(redis, "dead")
    assert (dead["status"], dead["attempt"], dead["error"]) == ("failed", 3, "always")
    assert told(redis, "dead") == ["retry", "retry", "failure"]
    refused = ended(redis, "refused")
    assert (refused["status"], refused["attempt"]) == ("failed", 1)
    assert set(redis.zrange(keys.FAILED, 0, -1)) == {dead["run_id"], refused["run_id"]}
    wait_until(lambda: redis.hvals(keys.OPEN) == ["w|2|h|"], "the first attempt of the last one")
    (waiting,) = redis.hkeys(keys.OPEN)
    assert redis.zscore(keys.DEADLINES, waiting) > time.time()
    run(redis, "flaky")
    wait_until(lambda: len(told(redis, "flaky")) == 6, "the second run")
    assert "recovered" not in told(redis, "flaky")


def test_timeouts_and_dead_children_are_bounded_attempts(
    redis: Redis, system: Callable[..., None], job: Callable[..., dict[str, Any]]
) -> None:
    system(
        job("hang", "hang", timeout=0.5, retry={"max_attempts": 2, "backoff": 0}),
        job("stubborn", "stubborn", timeout=0.5),
        job("suicidal", "die", retry={"max_attempts": 2, "backoff": 0}),
        job("well", "ok", every=1),
        job("long", "long"),
    )
    run(redis, "hang", "stubborn", "suicidal", "long")
    hang = ended(redis, "hang")
    assert (hang["status"], hang["attempt"]) == ("failed", 2)
    assert hang["error"] == "timed out after 0.5 s"
    assert hang["finished_at"] - hang["started_at"] < 10
    stubborn = ended(redis, "stubborn")
    assert (stubborn["status"], stubborn["error"]) == ("failed", "timed out after 0.5 s")
    long = ended(redis, "long")
    assert (long["status"], long["attempt"]) == ("ok", 1)
    suicidal = ended(redis, "suicidal")
    assert (suicidal["status"], suicidal["attempt"]) == ("failed", 2)
    assert suicidal["error"] == "its worker died"
    assert suicidal["worker"].startswith("w0@test/")
    assert told(redis, "suicidal") == ["failure"]
    assert told(redis, "stubborn") == ["failure"]
    assert ended(redis, "well")["status"] == "ok"


def test_one_that_hangs_or_dies_holds_up_none_of_its_message(
    redis: Redis,
    celery: Celery,
    system: Callable[..., None],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Many due runs share messages in their order, and run one after the other."""
    well = [f"well-{number}" for number in range(40)]
    how = dict.fromkeys(well, "ok") | {"die": "die", "well-2-hangs": "hold"}
    every = list(how)
    system(*(job(name, how[name]) for name in every))
    run(redis, *every)
    for name in well:
        assert ended(redis, name)["status"] == "ok"
    assert ended(redis, "die")["error"] == "its worker died"
    assert any(tick.startswith("well-2-hangs@") for tick in redis.hkeys(keys.OPEN))
    begun = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(begun) == sorted(every)
    assert "Exception in thread" not in celery.processes[0].output


def test_overlap(
    redis: Redis,
    system: Callable[..., None],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    policies = ("skip", "queue", "replace", "allow")
    system(*(job(name, "hold", overlap=name) for name in policies))
    run(redis, *policies)

    def begun(count: int) -> Callable[[], bool]:
        return lambda: (
            (tmp_path / "log").exists()
            and (len((tmp_path / "log").read_text().splitlines()) >= count)
        )

    wait_until(begun(4), "the first runs")
    run(redis, *policies)
    skipped = ended(redis, "skip")
    assert (skipped["status"], skipped["reason"]) == ("skipped", "overlap")
    assert skipped["other"] in redis.hgetall(keys.OPEN)
    run(redis, "queue")
    assert ended(redis, "queue")["status"] == "skipped"
    assert ended(redis, "replace")["reason"] == "replaced"
    (tmp_path / "log.released").touch()

    def history(job_id: str) -> list[tuple[str, str | None]]:
        lines = map(json.loads, redis.lrange(keys.HISTORY_PREFIX + job_id, 0, -1))
        return [(line["status"], line["reason"]) for line in lines]

    wait_until(lambda: not redis.exists(keys.OPEN), "all runs to end")
    assert history("skip") == [("ok", None), ("skipped", "overlap")]
    assert history("queue") == [("ok", None), ("ok", None), ("skipped", "overlap")]
    assert history("replace") == [("ok", None), ("skipped", "replaced")]
    assert history("allow") == [("ok", None), ("ok", None)]
    assert not redis.exists(keys.GOING, keys.QUEUED, keys.STOP)
