"""Faults of syncs: large edits, lists that change back and forth, and syncs that die or freeze
half-way."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from helpers import wait_until
from redis.exceptions import RedisError

from chaos import traps
from chaos.jobs import ENTRY
from chaos.registered import MENDED, wrong_with
from chaos.world import World

#: Seconds that a sync stays frozen: longer than its lock of 10 s.
FROZEN = (11.0, 16.0)
#: Seconds within which a sync must reach the step at which it is to die.
REACHED = 30.0


def swap(world: World) -> None:
    """Change the timing of the long list and of the jobs at its end, or restore it."""
    with world.listing.edit() as listing:
        listing.swapped = not listing.swapped
    world.poke()


def check(world: World, after: str, timeout: float = MENDED) -> None:
    """Record the differences between registry and list when the time is over."""
    found = wrong_with(world, world.paused, timeout)
    world.wrong["registry"] += [f"after {after}: {each}" for each in found]


def edit_the_long_list(world: World) -> str:
    """Swap the long list in one sync and back in the next, while its last jobs are due every
    second."""
    times = world.random.randint(1, 3)
    with world.listing.quiet:
        for _ in range(2 * times):
            swap(world)
            check(world, "an edit of the long list")
            time.sleep(world.random.uniform(0, 1))
    return f"the timing of the long list edited and set back {times} times"


def flap_the_list(world: World) -> str:
    """Remove jobs, and list them again once they are gone."""
    flaps = [row["id"] for row in world.rows if row["id"].startswith("flap-")]
    gone = world.random.sample(flaps, world.random.randint(1, len(flaps)))
    with world.listing.quiet:
        with world.listing.edit() as listing:
            listing.absent |= set(gone)
        world.poke()
        removed = {job: _until(lambda job=job: _removed_at(world, job), world) for job in gone}
        time.sleep(world.random.uniform(0, 4))
        with world.listing.edit() as listing:
            listing.absent -= set(gone)
        world.poke()
        for job in gone:
            since = _until(lambda job=job: world.redis.hget(ENTRY + job, "since"), world)
            world.asked.pauses[job].append((removed[job], _after(world, job, since)))
        check(world, f"{', '.join(gone)} came back")
    return f"{', '.join(gone)} removed from the list and listed again"


def _until(read: Callable[[], object], world: World) -> float:
    def answer() -> str | None:
        with suppress(RedisError, OSError):
            found = read()
            return None if found is None else str(found)
        return None

    world.poke()
    return float(wait_until(answer, "an edit of the list to arrive", 120))


def _removed_at(world: World, job: str) -> float | None:
    there = world.redis.exists(ENTRY + job)
    return None if there else world.redis.zscore("cron_tasks:removed", job)


def _after(world: World, job: str, since: float) -> float:
    """Return the job's first tick after a time."""
    every = next(row["every"] for row in world.rows if row["id"] == job)
    return float(int(since // every + 1) * every)


def add_costly_rows(world: World) -> str:
    """List rows that take seconds to judge, in one edit with the jobs after them."""
    with world.listing.quiet:
        with world.listing.edit() as listing:
            listing.costly, listing.swapped = True, not listing.swapped
        world.poke()
        # Each comparison judges the rows again.
        check(world, "costly rows", MENDED + 15)
        with world.listing.edit() as listing:
            listing.costly, listing.swapped = False, not listing.swapped
        world.poke()
        check(world, "costly rows went")
    return "rows listed that take seconds to judge, and taken away"


def kill_a_sync(world: World) -> str:
    """Kill the process that syncs, and restore the list at once, so that its ETag is the old
    one."""
    step = world.deal(traps.STEPS)
    act = world.random.choice(("kill", "kill_worker"))
    with world.listing.quiet:
        said = _caught(world, step, act)
        swap(world)
        after = f"{said}, and the list set back"
        check(world, after)
    return after


def freeze_a_sync(world: World) -> str:
    """Freeze a sync for longer than its lock. When it continues, another sync has restored the
    list."""
    step = world.deal(traps.STEPS[::-1])
    seconds = world.random.uniform(*FROZEN)
    with world.listing.quiet:
        said = _caught(world, step, "freeze")
        swap(world)
        time.sleep(seconds)
        _thaw(world)
        after = f"{said} for {seconds:.1f} s, and the list set back"
        check(world, after)
    return after


def lose_everything_in_a_sync(world: World) -> str:
    """Empty Redis at one of the last steps of a sync of the long list."""
    step = world.random.choice(traps.STEPS[-4:])
    with world.listing.quiet:
        said = _caught(world, step, "flush")
        check(world, said)
    return said


def _caught(world: World, step: str, act: str) -> str:
    """Swap the list, and make the sync that reads it act at a step."""
    taken, order = world.orders / "taken.json", world.orders / "order.json"
    taken.unlink(missing_ok=True)
    unfinished = world.orders / "new.json"
    unfinished.write_text(json.dumps({"step": step, "act": act, "jobs": world.listing.long}))
    unfinished.rename(order)
    swap(world)
    said = {
        "kill": "kill -9 of the process that syncs",
        "kill_worker": "kill -9 of the worker that syncs",
        "freeze": "SIGSTOP of the process that syncs",
        "flush": "Redis emptied by FLUSHALL",
    }[act]
    try:
        wait_until(taken.exists, step, REACHED)
    except AssertionError:
        order.unlink(missing_ok=True)
        return f"{said} {step} did not come"
    return f"{said} {step}"


def _thaw(world: World) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        taken = json.loads((world.orders / "taken.json").read_text())
        os.kill(taken["pid"], signal.SIGCONT)
