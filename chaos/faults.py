"""What is done to the system. Each fault mends itself before it returns."""

import json
import signal
import time
from collections.abc import Callable

from helpers import wait_until
from processes import Process
from redis import Redis
from redis.exceptions import RedisError

from chaos.deletions import DELETIONS
from chaos.syncs import (
    add_costly_rows,
    edit_the_long_list,
    flap_the_list,
    freeze_a_sync,
    kill_a_sync,
    lose_everything_in_a_sync,
)
from chaos.victim import BEAT_INSTANTS, RARE, WORKER_INSTANTS
from chaos.world import World

Fault = Callable[[World], str]


def kill_beat(world: World) -> str:
    name = world.leader()
    world.members[name].kill()
    return f"kill -9 {name}"


def stop_beat(world: World) -> str:
    name = world.leader()
    world.members[name].signal(signal.SIGTERM)
    return f"SIGTERM {name}"


def freeze_beat(world: World) -> str:
    """Past its lock, so that the other leads when it thaws."""
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
    """The whole group, beyond its leases."""
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
    except AssertionError:  # chance had the others do all that
        victim.end()
        return f"kill -9 {name}, not {instant}, which did not come"
    return f"kill -9 {name} {instant}"


def freeze_redis(world: World) -> str:
    seconds = world.random.uniform(1, 12)
    world.valkey.freeze()
    time.sleep(seconds)
    world.valkey.thaw()
    return f"Redis frozen for {seconds:.1f} s"


def freeze_redis_long(world: World) -> str:
    """For longer than any lease, and than the jobs' catch-up window."""
    seconds = world.deal((30, 70))
    world.valkey.freeze()
    time.sleep(seconds)
    world.valkey.thaw()
    return f"Redis frozen for {seconds} s"


def restart_redis(world: World) -> str:
    seconds = world.random.uniform(0, 5)
    world.valkey.kill()
    time.sleep(seconds)
    world.valkey.start()
    wait_until(world.answers, "Redis to answer")
    return f"Redis killed and started again after {seconds:.1f} s, its data kept"


def read_only_redis(world: World) -> str:
    seconds = world.random.uniform(1, 6)
    # A replica of nobody: it refuses writes and keeps its data.
    world.redis.config_set("replica-read-only", "yes")
    world.redis.replicaof("127.0.0.1", "1")
    time.sleep(seconds)
    world.redis.replicaof("NO", "ONE")
    return f"Redis read-only for {seconds:.1f} s"


def full_redis(world: World) -> str:
    seconds = world.random.uniform(1, 6)
    world.redis.config_set("maxmemory", "1")
    time.sleep(seconds)
    world.redis.config_set("maxmemory", "0")
    return f"Redis out of memory for {seconds:.1f} s"


def cut_connections(world: World) -> str:
    for _ in range(5):
        try:
            world.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        except RedisError as error:
            return f"connections could not be cut: {error}"
        time.sleep(0.2)
    return "every connection cut five times"


def write_garbage(world: World) -> str:
    """Where workers read their messages; over the last of it Celery fails when it has begun."""
    misshapen = {
        "headers": {"task": "cron_tasks.sync_jobs", "id": "garbage", "timelimit": 5},
        "properties": {"delivery_tag": "garbage", "delivery_info": {}},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "body": "[[], {}, {}]",
    }
    with Redis.from_url((world.broker or world.valkey).url) as broker:
        broker.lpush("celery", "no JSON", "[]", "{}", json.dumps(misshapen))
    return "garbage in the broker's list"


def lose_the_lock(world: World) -> str:
    world.redis.delete("redbeat::lock")
    return "the leader's lock deleted"


def kill_the_target(world: World) -> str:
    """With all requests that are under way."""
    seconds = world.random.uniform(0, 4)
    world.target.kill()
    time.sleep(seconds)
    world.start_target()
    return f"the service that jobs ask killed for {seconds:.1f} s"


def break_the_rest_service(world: World) -> str:
    world.rest.answer = lambda handler: handler.reply(503, b"{}") or True
    time.sleep(6)
    world.rest.answer = None
    return "the REST service answers 503 for 6 s"


def restart_the_broker(world: World) -> str:
    """It comes back without its last messages, or with none at all."""
    assert world.broker
    seconds = world.random.uniform(0, 12)
    world.broker.kill()
    time.sleep(seconds)
    world.broker.start()
    if emptied := world.random.random() < 0.5:
        with Redis.from_url(world.broker.url) as redis:
            redis.flushall()
    return f"the broker killed for {seconds:.1f} s{', its messages lost' if emptied else ''}"


def freeze_the_broker(world: World) -> str:
    assert world.broker
    seconds = world.random.uniform(1, 15)
    world.broker.freeze()
    time.sleep(seconds)
    world.broker.thaw()
    return f"the broker frozen for {seconds:.1f} s"


def shift_a_clock(world: World) -> str:
    """Start a beat or a worker again with a clock that is ahead or behind by up to half a second.

    So two processes are apart by up to one second. It keeps its clock until it is shifted again.
    """
    name = world.random.choice(list(world.members))
    world.clocks[name] = round(world.random.uniform(-0.5, 0.5), 3)
    world.asked.apart = 1.0
    world.members[name].signal(signal.SIGTERM)
    return f"{name} ended, and started again with a clock that is {world.clocks[name]:+} s off"


def lose_everything(world: World) -> str:
    """What was before this nobody can tell, so it comes first, and is not among the others."""
    world.redis.flushall()
    return "Redis emptied"


#: What the attack, and in a long one each round, begins with. Nobody can judge what was before.
OPENINGS: tuple[Fault, ...] = (lose_everything, lose_everything_in_a_sync)
#: Where the broker is a server of its own.
BROKER_FAULTS: tuple[Fault, ...] = (restart_the_broker, freeze_the_broker)
#: What takes so long that only long attacks have the time.
LONG_FAULTS: tuple[Fault, ...] = (freeze_redis_long,)
FAULTS: tuple[Fault, ...] = (
    beat_dies_at_an_instant,
    worker_dies_at_an_instant,
    worker_dies_at_an_instant,
    kill_beat,
    stop_beat,
    freeze_beat,
    kill_worker,
    stop_worker,
    freeze_worker,
    freeze_redis,
    restart_redis,
    read_only_redis,
    full_redis,
    cut_connections,
    write_garbage,
    lose_the_lock,
    kill_the_target,
    break_the_rest_service,
    shift_a_clock,
    edit_the_long_list,
    edit_the_long_list,
    flap_the_list,
    kill_a_sync,
    kill_a_sync,
    freeze_a_sync,
    add_costly_rows,
    *DELETIONS,
)
