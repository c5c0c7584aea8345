"""Run the attack, and print the faults and the outcome of every tick."""

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
from chaos.asked import iso
from chaos.audited import compare
from chaos.calls import judge_calls, read_calls
from chaos.checker import Verdict, judge
from chaos.evidence import Evidence
from chaos.faults import BROKER_FAULTS, FAULTS, LONG_FAULTS, OPENINGS, Fault
from chaos.ledger import Ledger
from chaos.syncs import check
from chaos.world import World

#: Seconds within which the edit that ends all jobs has been applied.
EDIT = 10
#: Seconds from which on an attack is a long one.
LONG = 300
#: The most seconds of a round. Then all jobs end, everything is checked, and Redis is emptied
#: again.
ROUND = 300
#: The number of printed findings of one kind.
SHOWN = 20
#: The keys of open runs, single ones and batches.
OPEN_RUNS = ("cron_tasks:open", "cron_tasks:batches")


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
        evidence = Evidence(world, Path(folder))
        try:
            attack(world, evidence, options.minutes * 60, options.fault or [""], verdict)
        finally:
            if not (verdict.clean and verdict.expected):
                evidence.keep_logs()
            world.end()
    report(verdict)
    return 0 if verdict.clean else 1


def attack(
    world: World, evidence: Evidence, length: float, chosen: Sequence[str], verdict: Verdict
) -> None:
    """Attack in rounds, and add the findings of each to the verdict."""
    world.begun = time.time()
    world.start()
    known = FAULTS + (BROKER_FAULTS if world.broker else ())
    known += LONG_FAULTS if length >= LONG else ()
    faults, openings = _named(known, chosen), _named(OPENINGS, chosen) or OPENINGS[:1]
    named = ", ".join(fault.__name__ for fault in world.order(faults or openings))
    print(f"faults in this order, as far as the time goes, and then again: {named}", flush=True)
    while (left := world.begun + length - time.time()) > 0:
        play_round(world, time.time() + min(left, ROUND), faults, openings)
        settle(world, evidence, verdict)


def _named(faults: tuple[Fault, ...], parts: Sequence[str]) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if any(part in fault.__name__ for part in parts))


def play_round(
    world: World, end: float, faults: tuple[Fault, ...], openings: tuple[Fault, ...]
) -> None:
    world.begin_round()
    world.poke()
    _wait_until_it_runs(world, "the start")
    check(world, "the start")
    strike(world, world.deal(openings))
    world.asked.since = int(time.time()) + 1.5
    if not faults:
        return
    world.editor.start()
    while time.time() < end:
        said = world.deal(commands.COMMANDS)(world)
        print(f"{time.time() - world.begun:6.1f} s  {said}", flush=True)
        strike(world, world.deal(faults))
        commands.resume_all(world)


def strike(world: World, fault: Fault) -> None:
    """Cause one fault, and wait until ticks are notified again."""
    found = {name: len(lines) for name, lines in world.wrong.items()}
    at = time.time() - world.begun
    said = fault(world)
    recovered = _wait_until_it_runs(world, said)
    print(f"{at:6.1f} s  {fault.__name__}: {said}; {recovered}", flush=True)
    for name, lines in world.wrong.items():
        for line in lines[found[name] :]:
            print(f"          {name}: {line}", flush=True)


def _wait_until_it_runs(world: World, after: str) -> str:
    try:
        return f"ran again after {world.wait_until_it_runs():.1f} s"
    except AssertionError as error:
        world.wrong["stuck"].append(f"after {after}: {error}")
        return "did not run again"


def settle(world: World, evidence: Evidence, verdict: Verdict) -> None:
    """End all jobs, wait for the last ticks, and check the round."""
    world.editor.end()
    check(world, "the round")
    world.asked.until = int(time.time()) + EDIT + 0.5
    with world.listing.edit() as listing:
        listing.until = iso(world.asked.until)
    world.poke()
    redis = world.redis
    for condition, what in (
        (lambda: redis.zcard("redbeat::schedule") <= 1, "the jobs to end"),
        (lambda: not redis.exists(*OPEN_RUNS), "the last ticks to end"),
        (lambda: not world.messages(), "the queues to be empty"),
    ):
        try:
            wait_until(condition, what, 120)
        except AssertionError as error:
            world.wrong["stuck"].append(str(error))
    check(world, "the end of all jobs")
    told, audited = world.told(), commands.audit(world)
    calls = read_calls(world.target_log)
    found = judge(redis, world.rows, world.asked, told)
    for row in world.rows:
        if "action" in row:
            judge_calls(found, row, Ledger.read(redis, row["id"]), calls, world.asked)
    compare(found, audited, world.asked)
    for name, lines in (world.wrong | {"gave_up": world.gave_up}).items():
        found.wrong[name] += lines
    world.gave_up = []
    verdict.add(found)
    at = time.time() - world.begun
    if not found.clean:
        read = {"asked": world.asked, "told": told, "audited": audited, "calls": calls}
        evidence.keep_round(int(at), rows=world.rows, **read)
    print_round(found, at)


def print_round(found: Verdict, at: float) -> None:
    wrong = {name: len(lines) for name, lines in found.wrong.items() if lines}
    print(f"{at:6.1f} s  judged: {found.expected} ticks, {wrong or 'nothing wrong'}", flush=True)
    for name, lines in found.wrong.items():
        for line in lines[:SHOWN]:
            print(f"          {name}: {line}", flush=True)


def report(verdict: Verdict) -> None:
    print(f"\n{verdict.expected} ticks expected, {len(verdict.lost)} of them without an end")
    for status, count in verdict.statuses.most_common():
        print(f"{count:8} {status}")
    print(f"{verdict.calls:8} requests of slow runs, {verdict.given_up} given up for dead")
    for name, found in verdict.wrong.items():
        print(f"{len(found):8} {name}" + "".join(f"\n           {each}" for each in found[:SHOWN]))


if __name__ == "__main__":
    sys.exit(main())
