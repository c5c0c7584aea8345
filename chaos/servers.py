"""Faults of Redis, of the broker and of the services. Each repairs its damage."""

import json
import time

from helpers import wait_until
from redis import Redis
from redis.exceptions import RedisError

from chaos.world import World


def freeze_redis(world: World) -> str:
    seconds = world.random.uniform(1, 12)
    world.valkey.freeze()
    time.sleep(seconds)
    world.valkey.thaw()
    return f"Redis frozen for {seconds:.1f} s"


def freeze_redis_long(world: World) -> str:
    """Freeze Redis for longer than any lease, and than the jobs' catch-up window."""
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
    # A replica without a master refuses writes and keeps its data.
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
    """Write garbage into the lists of workers. On the last item Celery fails after it has begun."""
    misshapen = {
        "headers": {"task": "cron_tasks.sync_jobs", "id": "garbage", "timelimit": 5},
        "properties": {"delivery_tag": "garbage", "delivery_info": {}},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "body": "[[], {}, {}]",
    }
    with Redis.from_url((world.broker or world.valkey).url) as broker:
        broker.lpush("cron_tasks", "no JSON", "[]", "{}", json.dumps(misshapen))
    return "garbage in the broker's list"


def lose_the_lock(world: World) -> str:
    world.redis.delete("redbeat::lock")
    return "the leader's lock deleted"


def kill_the_target(world: World) -> str:
    """Kill the target with all requests in flight."""
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
    """Restart the broker. It comes back without its last messages, or with none at all."""
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


def lose_everything(world: World) -> str:
    """Empty Redis. Earlier runs cannot be checked, so this fault comes first, and not among the
    others."""
    world.redis.flushall()
    return "Redis emptied"
