"""Run the attack and print what it did and what became of every tick."""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers import wait_until
from processes import heed_sigterm
from rest_server import RestServer

from chaos import commands
from chaos.calls import judge_calls, read_calls
from chaos.checker import Ledger, Verdict, compare, iso, judge
from chaos.faults import BROKER_FAULTS, FAULTS, LONG_FAULTS, Fault, lose_everything
from chaos.world import World

#: Seconds in which the edit that ends all jobs has arrived.
EDIT = 10
#: Seconds from which on an attack is a long one.
LONG = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.5, help="how long to attack")
    parser.add_argument("--seed", type=int, default=None, help="repeat the faults of a run")
    parser.add_argument("--fault", action="append", help="only faults whose name contains this")
    parser.add_argument("--own-broker", action="store_true", help="a broker of its own, hurt too")
    parser.add_argument("--stream", action="store_true", help="notifications as a stream")
    options = parser.parse_args()
    heed_sigterm()
    seed = options.seed if options.seed is not None else random.randrange(10_000)
    print(f"seed {seed}, {options.minutes} min", flush=True)
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as folder, RestServer() as rest:
        world = World(Path(folder), rest, seed, options.own_broker, options.stream)
        try:
            attack(world, options.minutes * 60, options.fault or [""])
            verdict = settle(world)
        finally:
            if not (verdict.clean and verdict.expected):
                keep_logs(Path(folder))
            world.end()
    report(verdict)
    return 0 if verdict.clean else 1


def attack(world: World, minutes: float, chosen: Sequence[str]) -> None:
    world.start()
    world.wait_until_it_runs()
    begun = time.time()
    strike(world, begun, lose_everything)
    world.asked.since = int(time.time()) + 0.5
    world.editor.start()
    known = FAULTS + (BROKER_FAULTS if world.broker else ())
    known += LONG_FAULTS if minutes >= LONG else ()
    faults = tuple(fault for fault in known if any(part in fault.__name__ for part in chosen))
    while time.time() - begun < minutes:
        said = world.deal(commands.COMMANDS)(world)
        print(f"{time.time() - begun:6.1f} s  {said}", flush=True)
        strike(world, begun, world.deal(faults))
        commands.resume_all(world)


def strike(world: World, begun: float, fault: Fault) -> None:
    at = time.time() - begun
    said = fault(world)
    recovered = world.wait_until_it_runs()
    print(f"{at:6.1f} s  {said}; ran again after {recovered:.1f} s", flush=True)


def settle(world: World) -> Verdict:
    """Have all jobs end, wait for the last ticks to, and judge."""
    world.editor.end()
    world.asked.until = int(time.time()) + EDIT + 0.5
    world.rest.jobs = [row | {"end_at": iso(world.asked.until)} for row in world.rest.jobs]
    world.redis.lpush("cron_tasks:poke", "*")
    stuck: list[str] = []
    for condition, what in (
        (lambda: world.redis.zcard("redbeat::schedule") <= 1, "the jobs to end"),
        (lambda: not world.redis.hlen("cron_tasks:open"), "the last ticks to end"),
    ):
        try:
            wait_until(condition, what, 120)
        except AssertionError as error:
            stuck.append(str(error))
    verdict = judge(world.redis, world.rows, world.asked, world.told())
    calls = read_calls(world.target_log)
    for row in world.rows:
        if "action" in row:
            ledger = Ledger.read(world.redis, row["id"])
            judge_calls(verdict, row, ledger, calls, world.asked)
    compare(verdict, commands.audit(world))
    verdict.wrong["gave_up"] += stuck + world.gave_up
    return verdict


def keep_logs(folder: Path) -> None:
    kept = Path(tempfile.mkdtemp(prefix="chaos-"))
    for log in (*folder.glob("*.log"), *folder.glob("*.jsonl")):
        (kept / log.name).write_bytes(log.read_bytes())
    print(f"logs kept in {kept}")


def report(verdict: Verdict) -> None:
    print(f"\n{verdict.expected} ticks expected")
    for status, count in verdict.statuses.most_common():
        print(f"{count:8} {status}")
    print(f"{verdict.calls:8} requests of slow runs, {verdict.given_up} given up for dead")
    for name, found in verdict.wrong.items():
        print(f"{len(found):8} {name}" + "".join(f"\n           {each}" for each in found[:20]))


if __name__ == "__main__":
    sys.exit(main())
