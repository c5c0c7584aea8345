"""`http` jobs due at one instant, ours and those of the peers in turns.

Measures runs a second, the CPU time of a run, and how many are in flight at a time, against a
server that answers at once and one that takes 200 ms.
"""

import asyncio
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from applying import apply
from helpers import wait_until
from redis import Redis

from bench.report import cpu_seconds, seconds, table
from bench.stage import Stage, stage
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.registry.plan import Policy, plan_changes
from cron_tasks.store import keys

RUNS = 5
COUNT = 5_000
PEERS = Path(__file__).parent / "peers"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Figures:
    """Runs a second, most in flight, and the CPU time of a run in microseconds."""

    rate: float
    most: int
    python: float
    redis: float


class Server(asyncio.Protocol):
    """Answers every request after `delay` seconds, and counts those in flight."""

    delay = 0.0
    flying = most = answered = 0
    last = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.loop = transport, asyncio.get_running_loop()

    def data_received(self, _: bytes) -> None:
        Server.flying += 1
        Server.most = max(Server.most, Server.flying)
        if self.delay:
            self.loop.call_later(self.delay, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        Server.flying -= 1
        Server.answered += 1
        Server.last = time.time()
        self.transport.write(ANSWER)


def serve(pipe: Connection, delay: float) -> None:
    async def main() -> None:
        Server.delay = delay
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0, backlog=4000)
        pipe.send(server.sockets[0].getsockname()[1])
        while await asyncio.to_thread(pipe.recv):
            pipe.send((Server.most, Server.answered))

    uvloop.run(main())


@contextmanager
def server(delay: float) -> Iterator[tuple[str, Callable[[], tuple[int, int]]]]:
    """Yield the URL, and what returns how many requests were in flight at most, and answered."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(theirs, delay), daemon=True)
    process.start()

    def ask() -> tuple[int, int]:
        ours.send("how many?")
        most, answered = ours.recv()
        return most, answered

    yield f"http://127.0.0.1:{ours.recv()}/", ask
    process.kill()


def measure_ours(on: Stage, delay: float) -> Figures:
    on.redis.flushall()
    env = {"CRON_TASKS_HTTP_ALLOW": "127.0.0.1"}
    worker, beat = on.celery.worker(2, **env), on.celery.beat(**env)
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    valkey = on.redis.info("server")["process_id"]
    with server(delay) as (url, ask):
        due = float(int(time.time() + 4 + COUNT / 10_000))
        register(on.redis, url, due)
        time.sleep(max(0.0, due - time.time() - 0.1))
        python, redis = cpu_seconds(worker.popen.pid, beat.popen.pid), cpu_seconds(valkey)
        wait_until(lambda: ask()[1] == COUNT and not on.redis.hlen(keys.OPEN), "the runs", 120)
        taken = time.time() - due
        python = cpu_seconds(worker.popen.pid, beat.popen.pid) - python
        redis = cpu_seconds(valkey) - redis
        for process in (worker, beat):
            process.kill()
        failed = on.redis.zcard(keys.FAILED)
        assert not failed, f"{failed} runs failed"
        return Figures(COUNT / taken, ask()[0], python / COUNT * 1e6, redis / COUNT * 1e6)


def register(redis: Redis, url: str, due: float) -> None:
    shared: dict[str, Any] = {
        "run_at": datetime.fromtimestamp(due, UTC).isoformat(),
        "action": {"type": "http", "url": url},
        "notify": {"on": ["failure"]},
        # A slow machine shows as a low rate.
        "catchup": {"policy": "one", "window": 600},
    }
    rows = [(f"row {n}", {"id": n, "name": f"job {n}", **shared}) for n in range(COUNT)]
    policy = Policy(permissions=Permissions(http=("127.0.0.1",)))
    apply(redis, plan_changes({}, rows, policy), time.time())


def measure_peer(on: Stage, delay: float, script: str) -> Figures:
    on.redis.flushall()
    valkey = on.redis.info("server")["process_id"]
    with server(delay) as (url, ask):
        command = [str(peers_python()), str(PEERS / script), str(COUNT), url, on.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            due = float(process.stdout.readline().split()[1])
            time.sleep(max(0.0, due - time.time() - 0.1))
            redis = cpu_seconds(valkey)
            line = process.stdout.readline()
            taken = time.time() - due
            redis = cpu_seconds(valkey) - redis
            process.terminate()
        python = float(line.split()[1])
        return Figures(COUNT / taken, ask()[0], python / COUNT * 1e6, redis / COUNT * 1e6)


def peers_python() -> Path:
    """Return the Python of a venv with the peers, which is made at the first call."""
    folder = Path(sys.prefix) / "peers"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        wanted = ["-r", str(PEERS / "requirements.txt")]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def main() -> None:
    programs: dict[str, Callable[[Stage, float], Figures]] = {
        "cron_tasks": measure_ours,
        "APScheduler, aiohttp": lambda on, delay: measure_peer(on, delay, "apscheduler_http.py"),
        "arq, aiohttp": lambda on, delay: measure_peer(on, delay, "arq_http.py"),
    }
    head = ("program", "server takes", "runs/s", "in flight", "µs Python a run", "µs Redis a run")
    rows = []
    with stage() as on:
        for delay in (0, 0.2):
            found: dict[str, list[Figures]] = {name: [] for name in programs}
            for _ in range(RUNS):
                for name, program in programs.items():
                    found[name].append(program(on, delay))
            for name, figures in found.items():
                rate, most, python, redis = (
                    median(getattr(each, field) for each in figures)
                    for field in ("rate", "most", "python", "redis")
                )
                cells = (f"{each:,.0f}" for each in (rate, most, python, redis))
                rows.append((name, seconds(delay), *cells))
    table(head, rows)
