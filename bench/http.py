"""`http` jobs due at one instant: runs a second against a server that answers at once, and how many
are in flight at a time against one that takes 200 ms.
"""

import asyncio
import multiprocessing
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from applying import apply
from helpers import wait_until
from redis import Redis

from bench.report import seconds, table
from bench.stage import Stage, stage
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.registry.plan import Policy, plan_changes
from cron_tasks.store import keys

RUNS = 5
COUNT = 2_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serve(pipe: Connection, delay: float) -> None:
    """Answers every request after `delay` seconds; tells when asked how many were in flight."""
    flying = most = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal flying, most
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                flying += 1
                most = max(most, flying)
                await asyncio.sleep(delay)
                flying -= 1
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=1000)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(pipe.recv)
        pipe.send(most)

    asyncio.run(main())


def measure(on: Stage, delay: float, pool: list[str], concurrency: int) -> tuple[float, int]:
    """(runs a second from the due time to the last end, most in flight)."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, delay), daemon=True)
    server.start()
    on.redis.flushall()
    env = {"CRON_TASKS_HTTP_ALLOW": "127.0.0.1"}
    worker = on.celery.worker(concurrency, *pool, **env)
    beat = on.celery.beat(**env)
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    due = float(int(time.time() + 4))
    register(on.redis, f"http://127.0.0.1:{ours.recv()}/", due)
    wait_until(lambda: on.redis.llen(keys.RECENT) >= COUNT, "the runs", 120)
    taken = time.time() - due
    for process in (worker, beat):
        process.kill()
    ours.send("how many?")
    most: int = ours.recv()
    server.join()
    return COUNT / taken, most


def register(redis: Redis, url: str, due: float) -> None:
    shared: dict[str, Any] = {
        "run_at": datetime.fromtimestamp(due, UTC).isoformat(),
        "action": {"type": "http", "url": url},
        "notify": {"on": ["failure"]},
    }
    rows = [(f"row {n}", {"id": n, "name": f"job {n}", **shared}) for n in range(COUNT)]
    policy = Policy(permissions=Permissions(http=("127.0.0.1",)))
    apply(redis, plan_changes({}, rows, policy), time.time())


def main() -> None:
    rows = []
    settings: list[tuple[float, list[str], int]] = [
        (0, [], 2),
        (0.2, ["--pool", "threads"], 250),
    ]
    with stage() as on:
        for delay, pool, concurrency in settings:
            runs = [measure(on, delay, pool, concurrency) for _ in range(RUNS)]
            rate, most = (median(column) for column in zip(*runs, strict=True))
            name = f"{pool[-1] if pool else 'prefork'}, {concurrency}"
            rows.append((name, seconds(delay), f"{rate:,.0f}", f"{most:.0f}"))
    table(("pool", "server takes", "runs/s", "most in flight"), rows)
