"""Deletions of single keys, and what each may cost.

Within `MENDED` seconds after each deletion, all jobs fire again and the registry equals the list.
No tick is lost, except those in `Asked.forgotten`. Late ticks may have been missed, if the ledger
records that.
"""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from helpers import wait_until
from redis.exceptions import RedisError

from chaos.asked import job_of, seconds
from chaos.jobs import ENTRY, FILLERS
from chaos.registered import BUSY, MENDED
from chaos.syncs import check
from chaos.world import World

SCHEDULE = "redbeat::schedule"
#: Notifications that are searched for a sign of each job.
RECENT = 1000


@dataclass(frozen=True)
class Deletion:
    """Delete something, then check that everything continues."""

    what: str
    delete: Callable[[World], str]

    @property
    def __name__(self) -> str:
        return f"delete_{self.what}"

    def __call__(self, world: World) -> str:
        with world.listing.quiet:
            begun = time.time()
            said = self.delete(world)
            check(world, said)
            _wait_until_all_fire(world, said, begun)
            _wait_for_a_sync(world, said, begun)
        return said


def _key(name: str) -> Callable[[World], str]:
    """Delete a key whose loss may cost nothing."""

    def delete(world: World) -> str:
        world.redis.delete(name)
        return f"{name} deleted"

    return delete


def _deadlines(world: World) -> str:
    """Delete the deadlines, and kill a worker, because no other key shows when its ticks are
    overdue."""
    world.members[name := world.any_worker()].kill()
    world.redis.delete("cron_tasks:deadlines")
    return f"kill -9 {name}, and cron_tasks:deadlines deleted"


def _jobs_index(world: World) -> str:
    """Delete the index just when a job is removed, so that nothing names that job."""
    with world.listing.edit() as listing:
        listing.absent = {gone for gone in listing.absent if not gone.startswith("filler-")}
        listing.absent.add(job := f"filler-{world.random.randrange(FILLERS)}")
        world.redis.delete("cron_tasks:jobs")
    return f"cron_tasks:jobs deleted, and {job} removed from the list"


def _open(world: World) -> str:
    """Delete the open ticks, which may then have no end."""
    with world.redis.pipeline() as pipe:
        pipe.hkeys("cron_tasks:open")
        pipe.delete("cron_tasks:open")
        runs, _ = pipe.execute()
    world.asked.forgotten |= set(runs)
    return f"cron_tasks:open deleted, with {len(runs)} runs"


def _batches(world: World) -> str:
    """Delete the open batches, whose runs may then have no end."""
    with world.redis.pipeline() as pipe:
        pipe.hgetall("cron_tasks:batches")
        pipe.delete("cron_tasks:batches")
        records, _ = pipe.execute()
    runs = {
        f"{job}@{batch.partition('#')[0]}"
        for batch, record in records.items()
        for job in json.loads(record.partition("\n")[2])
    }
    world.asked.forgotten |= runs
    return f"cron_tasks:batches deleted, with {len(runs)} runs"


def _going(world: World) -> str:
    """Delete the runs in flight. Another run may begin beside each of them."""
    with world.redis.pipeline() as pipe:
        pipe.hvals("cron_tasks:going")
        pipe.hgetall("cron_tasks:open")
        pipe.delete("cron_tasks:going")
        runs, states, _ = pipe.execute()
    for run in states.keys() & set(runs):
        world.asked.unguarded.add((run, int(states[run].split("|")[1])))
    return f"cron_tasks:going deleted, with {len(runs)} runs"


def _members(world: World) -> str:
    """Remove some jobs from the schedule."""
    jobs = [*world.random.sample(_entries(world), 3), f"filler-{world.random.randrange(FILLERS)}"]
    world.redis.zrem(SCHEDULE, *(ENTRY + job for job in jobs))
    return f"{', '.join(jobs)} deleted from {SCHEDULE}"


def _sync_member(world: World) -> str:
    """Remove the sync itself from the schedule."""
    world.redis.zrem(SCHEDULE, "redbeat:cron_tasks.sync_jobs")
    return f"the sync deleted from {SCHEDULE}"


def _some_entries(world: World) -> str:
    """Delete entries, so that no key has the schedules from before the next sync."""
    jobs = [*world.random.sample(_entries(world), 2), f"filler-{world.random.randrange(FILLERS)}"]
    world.redis.delete(*(ENTRY + job for job in jobs))
    said = f"the entries of {', '.join(jobs)} deleted"
    deadline = time.time() + MENDED + BUSY
    for job in jobs:
        try:
            left = max(deadline - time.time(), 0)
            since = wait_until(lambda job=job: _since(world, job), job, left)
        except AssertionError:
            # Whoever writes the entry later, the audit cannot know the earlier ticks.
            since = float("inf")
        world.asked.rewritten[job] = since
    return said


def _since(world: World, job: str) -> float | None:
    with suppress(RedisError, OSError):
        if since := world.redis.hget(ENTRY + job, "since"):
            return float(since)
    return None


def _entries(world: World) -> list[str]:
    """Return jobs whose past the checker does not need from elsewhere."""
    apart = ("edited-", "flap-")
    jobs = [row["id"] for row in world.rows if not row["id"].startswith(apart)]
    return [job for job in jobs if job not in world.paused]


def _wait_until_all_fire(world: World, said: str, begun: float) -> None:
    """Wait until each job that notifies every tick has notified one that was due after `begun`."""
    plain = {row["id"]: row["every"] for row in world.rows if "action" not in row}
    waited = {job for job in plain if job not in world.paused and not job.startswith("edited-")}

    def all_fired() -> bool:
        with suppress(RedisError, OSError):
            waited.difference_update(_told_since(world, begun))
        if waited:
            time.sleep(0.3)
        return not waited

    try:
        wait_until(all_fired, "", begun + MENDED + max(plain.values()) + BUSY - time.time())
    except AssertionError:
        silent = ", ".join(sorted(waited))
        world.wrong["stuck"].append(f"after {said} these did not fire again: {silent}")


def _wait_for_a_sync(world: World, said: str, begun: float) -> None:
    """Wait until the list is read again without a poke."""

    def read() -> bool:
        with suppress(RedisError, OSError):
            last = world.redis.hget("cron_tasks:source", "last_attempt")
            return last is not None and float(last) - world.asked.apart > begun
        return False

    try:
        wait_until(read, "", begun + MENDED + BUSY - time.time())
    except AssertionError:
        world.wrong["stuck"].append(f"after {said} the list was not read again")


def _told_since(world: World, begun: float) -> Iterable[str]:
    for message in world.told(RECENT):
        if seconds(message["scheduled_for"]) > begun:
            yield job_of(message["run_id"])


DELETIONS = (
    Deletion("deadlines", _deadlines),
    Deletion("jobs_index", _jobs_index),
    Deletion("schedule", _key(SCHEDULE)),
    Deletion("schedule_members", _members),
    Deletion("sync_member", _sync_member),
    Deletion("open", _open),
    Deletion("batches", _batches),
    Deletion("fired", _key("cron_tasks:fired")),
    Deletion("going", _going),
    Deletion("entries", _some_entries),
    Deletion("source", _key("cron_tasks:source")),
    Deletion("generation", _key("cron_tasks:generation")),
    Deletion("edits", _key("cron_tasks:edits")),
)
