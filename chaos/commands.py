"""Manual commands during the attack. Each adds its effect to `world.asked`."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos.asked import iso, job_of, seconds
from chaos.jobs import ENTRY
from chaos.world import World

#: Seconds that a backfill looks back.
BACKFILLED = 90
Command = Callable[[World], str]
CRON_TASKS = str(Path(sys.executable).with_name("cron-tasks"))


def pause(world: World) -> str:
    """Pause a job that nobody edits or removes meanwhile. `resume_all` ends the pause."""
    edited = ("edited-", "flap-")
    jobs = [row["id"] for row in world.rows if not row["id"].startswith(edited)]
    job = world.random.choice(jobs)
    paused = _answer(world, "jobs", "pause", job, "--reason", "chaos")["paused"]
    world.paused[job] = seconds(paused["since"])
    return f"{job} paused"


def resume_all(world: World) -> None:
    for job, since in world.paused.items():
        _answer(world, "jobs", "resume", job)
        # `next` in the answer may be later than the first tick, which beat may have fired by then.
        resumed = float(world.redis.hget(ENTRY + job, "since"))
        world.asked.pauses[job].append((since, math.nextafter(resumed, math.inf)))
    world.paused.clear()


def skip_next(world: World) -> str:
    job = world.random.choice([row["id"] for row in world.rows if row["every"] >= 5])
    done = _call(world, "jobs", "skip-next", job)
    if done.returncode and "fired just now" in done.stderr:
        return f"{job} fired before its tick could be skipped"
    world.asked.skipped.add(run := _said(done)["skipped"])
    return f"{run} skipped"


def cancel(world: World) -> str:
    """Cancel a slow run, in any state."""
    slow = {row["id"] for row in world.rows if "action" in row}
    waiting = world.redis.hkeys("cron_tasks:open")
    if not (runs := sorted(run for run in waiting if run.rpartition("@")[0] in slow)):
        return "nothing to cancel"
    done = _call(world, "runs", "cancel", run := world.random.choice(runs))
    if done.returncode and " ended " in done.stderr:
        return f"{run} ended before it could be cancelled"
    return f"{run} {_said(done)['state']}"


def retry(world: World) -> str:
    failed = world.redis.zrange("cron_tasks:failed", 0, -1)
    if not (runs := sorted({run for run in failed if world.asked.judges(run)})):
        return "no failed run to retry"
    done = _call(world, "runs", "retry", run := world.random.choice(runs))
    if done.returncode and ("not ended yet" in done.stderr or "ended ok" in done.stderr):
        return f"{run} is retried already"
    _said(done)
    world.asked.again[run] += 1
    return f"{run} retried"


def run_now(world: World) -> str:
    jobs = [row["id"] for row in world.rows if not row["id"].startswith("flap-")]
    job = world.random.choice(jobs)
    world.asked.by_hand.add(run := _answer(world, "jobs", "run", job)["run_id"])
    return f"{run} asked for"


def backfill(world: World) -> str:
    """Rerun the failed ticks of a job whose runs need not wait for each other.

    A tick that is reported as never run is a lost one, unless the job was paused. A job whose entry
    was deleted is left alone, because its earlier ticks are unknown.
    """
    edited = ("edited-", "flap-")
    free = [row["id"] for row in world.rows if row.get("overlap", "allow") == "allow"]
    jobs = [job for job in free if not job.startswith(edited) and job not in world.asked.rewritten]
    job, now = world.random.choice(jobs), time.time()
    begin = max(now - BACKFILLED, world.asked.since)
    if now - begin < 1:
        return "nothing to backfill yet"
    done = _answer(world, "backfill", job, "--from", iso(begin), "--to", iso(now))
    for run in done["opened"]:
        if done["missing"][run] is not None:
            world.asked.again[run] += 1
        elif _rested(world, run):
            world.asked.by_hand.add(run)
        elif run not in world.asked.forgotten:
            world.wrong["stuck"].append(f"backfill found that {run} never ran")
    return f"{job} backfilled: {len(done['opened'])} runs"


def _rested(world: World, run: str) -> bool:
    job, tick = job_of(run), seconds(run.rpartition("@")[2])
    paused = [*world.asked.pauses[job]]
    if job in world.paused:
        paused.append((world.paused[job], float("inf")))
    return any(since < tick < upcoming for since, upcoming in paused)


COMMANDS: tuple[Command, ...] = (pause, skip_next, cancel, retry, run_now, retry, backfill)


def audit(world: World) -> dict[str, Any]:
    done = _call(world, "audit", "--since", world.asked.start)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _answer(world: World, *arguments: str) -> dict[str, Any]:
    return _said(_call(world, *arguments))


def _said(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert not done.returncode, f"{done.args}: {done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _call(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [CRON_TASKS, *arguments, "--json"]
    env = world.celery.env
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
