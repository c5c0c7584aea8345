"""Run the attack and print what it did and what became of every tick."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers import wait_until
from rest_server import RestServer

from chaos.checker import Verdict, judge
from chaos.faults import BROKER_FAULTS, FAULTS
from chaos.world import World, job_rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.5, help="how long to attack")
    parser.add_argument("--seed", type=int, default=None, help="repeat the faults of a run")
    parser.add_argument("--fault", action="append", help="only faults whose name contains this")
    parser.add_argument("--own-broker", action="store_true", help="a broker of its own, hurt too")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10_000)
    print(f"seed {seed}, {options.minutes} min", flush=True)
    with tempfile.TemporaryDirectory() as folder, RestServer(job_rows()) as rest:
        world = World(Path(folder), rest, random.Random(seed), options.own_broker)
        try:
            verdict = attack(world, options.minutes * 60, options.fault or [""])
            if not verdict.clean:
                kept = Path(tempfile.mkdtemp(prefix="chaos-"))
                for log in Path(folder).glob("*.log"):
                    (kept / log.name).write_bytes(log.read_bytes())
                print(f"logs kept in {kept}")
        finally:
            world.end()
    report(verdict)
    return 0 if verdict.clean else 1


def attack(world: World, seconds: float, chosen: list[str]) -> Verdict:
    world.start()
    world.wait_until_it_runs()
    since = time.time()
    known = FAULTS + BROKER_FAULTS if world.broker else FAULTS
    faults = [fault for fault in known if any(part in fault.__name__ for part in chosen)]
    order: list[object] = []
    while time.time() - since < seconds:
        order = order or world.random.sample(faults, len(faults))
        begun = time.time() - since
        said = order.pop()(world)  # type: ignore[operator]
        recovered = world.wait_until_it_runs()
        print(f"{begun:6.1f} s  {said}; ran again after {recovered:.1f} s", flush=True)
    until = time.time()
    verdict = settle(world, since, until)
    verdict.gave_up = world.gave_up
    return verdict


def settle(world: World, since: float, until: float) -> Verdict:
    """Switch all jobs off, wait for the last ticks to end, and judge."""
    world.rest.jobs = job_rows(enabled=False)
    wait_until(lambda: world.redis.zcard("redbeat::schedule") <= 1, "the jobs to be off", 60)
    wait_until(lambda: not world.redis.hlen("cron_tasks:open"), "the last ticks to end", 60)
    intervals = {str(job["id"]): int(job["every"]) for job in job_rows()}
    return judge(world.redis, intervals, since, until)


def report(verdict: Verdict) -> None:
    print(f"\n{verdict.expected} ticks expected")
    for status, count in verdict.statuses.most_common():
        print(f"{count:8} {status}")
    for name in ("lost", "doubled", "untold", "still_open", "gave_up"):
        found = getattr(verdict, name)
        print(f"{len(found):8} {name}" + "".join(f"\n           {each}" for each in found[:20]))


if __name__ == "__main__":
    sys.exit(main())
