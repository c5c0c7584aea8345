"""Faults of beats and workers. The supervisor restarts dead processes."""

import signal
import time

from helpers import wait_until
from processes import Process

from chaos.victim import BEAT_INSTANTS, RARE, WORKER_INSTANTS
from chaos.world import World


def kill_beat(world: World) -> str:
    name = world.leader()
    world.members[name].kill()
    return f"kill -9 {name}"


def stop_beat(world: World) -> str:
    name = world.leader()
    world.members[name].signal(signal.SIGTERM)
    return f"SIGTERM {name}"


def freeze_beat(world: World) -> str:
    """Freeze a beat for longer than its lock, so that the other one leads when it continues."""
    name = world.leader()
    process = world.members[name]
    seconds = world.random.uniform(2, 9)
    process.signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.signal(signal.SIGCONT)
    return f"SIGSTOP {name} for {seconds:.1f} s"


def kill_worker(world: World) -> str:
    name = world.any_worker()
    world.members[name].kill()
    return f"kill -9 {name} and its children"


def stop_worker(world: World) -> str:
    name = world.any_worker()
    world.members[name].signal(signal.SIGTERM)
    return f"SIGTERM {name}"


def freeze_worker(world: World) -> str:
    """Freeze the whole process group of a worker for longer than its leases."""
    import psutil

    name = world.any_worker()
    process = psutil.Process(world.members[name].pid)
    family = [process, *process.children(recursive=True)]
    seconds = world.random.uniform(2, 18)
    for member in family:
        member.suspend()
    time.sleep(seconds)
    for member in family:
        member.resume()
    return f"SIGSTOP {name} for {seconds:.1f} s"


def beat_dies_at_an_instant(world: World) -> str:
    leader = world.leader()
    name = "beat 1" if leader == "beat 2" else "beat 2"
    victim, instant = _victim(world, name, BEAT_INSTANTS)
    victim.wait_for('"beat.')
    world.members[leader].signal(signal.SIGTERM)
    return _wait_for_death(victim, instant, name)


def worker_dies_at_an_instant(world: World) -> str:
    name = world.any_worker()
    return _wait_for_death(*_victim(world, name, WORKER_INSTANTS), name)


def _victim(world: World, name: str, instants: tuple[str, ...]) -> tuple[Process, str]:
    instant = world.deal(instants)
    nth = 1 if instant in RARE else world.random.randint(1, 3)
    return world.replace(name, instant, nth), instant


def _wait_for_death(victim: Process, instant: str, name: str) -> str:
    try:
        wait_until(lambda: not victim.alive, instant, 30)
    except AssertionError:  # By chance, other processes made all the steps.
        victim.end()
        return f"kill -9 {name}, not {instant}, which did not come"
    return f"kill -9 {name} {instant}"


def shift_a_clock(world: World) -> str:
    """Restart a beat or a worker with a clock that is ahead or behind by up to half a second.

    So two processes differ by up to one second. The clock stays until it is shifted again.
    """
    name = world.random.choice(list(world.members))
    world.clocks[name] = round(world.random.uniform(-0.5, 0.5), 3)
    world.asked.apart = 1.0
    world.members[name].signal(signal.SIGTERM)
    return f"{name} ended, and started again with a clock that is {world.clocks[name]:+} s off"
