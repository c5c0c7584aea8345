"""Reconciling 10,000 and 100,000 jobs over HTTP, against one RedBeatSchedulerEntry.save() a job.

Each sync runs in a process of its own, whose peak memory is the figure for a worker or beat.
"""

import json
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from processes import Valkey
from redis import Redis

from bench.report import seconds, table

SIZES = (10_000, 100_000)
STOCK = 5_000
RUNS = 3


def job(number: int, version: int = 0) -> dict[str, Any]:
    """The smallest job; two hundred different expressions, as people have."""
    expression = f"{number % 60} {number // 60 % 24} * * *" if number % 3 else "0 9 * * *"
    return {"id": number, "name": f"job {number} v{version}", "cron_expression": expression}


def serve(pipe: Connection, etag: bool) -> None:
    """Lists what comes through the pipe, ready made, so that the server costs next to nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body: bytes = self.server.body  # type: ignore[attr-defined]
            tag = f'"{hash(body)}"'
            if etag and self.headers["If-None-Match"] == tag:
                self.send_response(304)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if etag:
                self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.body = pipe.recv_bytes()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        pipe.send("serving")
        server.body = pipe.recv_bytes()  # type: ignore[attr-defined]


def _sync(redis_url: str, port: int, pipe: Connection) -> None:
    from cron_tasks.settings import Settings
    from cron_tasks.store.client import connect
    from cron_tasks.sync.reconciler import Reconciler

    settings = Settings(redis_url=redis_url, rest_url=f"http://127.0.0.1:{port}")
    reconciler = Reconciler(connect(redis_url), settings)
    begun = time.perf_counter()
    report = reconciler.sync(time.time)
    taken = time.perf_counter() - begun
    assert report is not None
    assert report.state == "ok", report.detail
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((taken, peak, len(report.changes.added) + len(report.changes.changed)))


def sync(redis_url: str, port: int) -> tuple[float, float, int]:
    """(seconds, peak MB, rows written) of one sync in a fresh process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_sync, args=(redis_url, port, theirs)
    )
    process.start()
    result: tuple[float, float, int] = ours.recv()
    process.join()
    return result


def stock(redis_url: str) -> float:
    """Seconds for STOCK jobs with stock RedBeat."""
    from celery import Celery
    from redbeat import RedBeatSchedulerEntry

    app = Celery("stock", broker=redis_url)
    app.conf.update(redbeat_redis_url=redis_url, redbeat_redis_options={"socket_timeout": 5})
    begun = time.perf_counter()
    for number in range(STOCK):
        RedBeatSchedulerEntry(
            f"job-{number}", "t", timedelta(days=1), args=[str(number)], app=app
        ).save()
    return time.perf_counter() - begun


def body(count: int, changed: int = 0) -> bytes:
    return json.dumps([job(n, int(n < changed)) for n in range(count)]).encode()


def measure(redis: Redis, url: str, count: int, etag: bool) -> dict[str, tuple[float, float, int]]:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, etag), daemon=True)
    server.start()
    port = ours.recv()
    ours.send_bytes(body(count))
    ours.recv()
    redis.execute_command("FLUSHALL", "SYNC")
    empty = redis.info("memory")["used_memory"]
    results = {"cold": sync(url, port)}
    per_job = (redis.info("memory")["used_memory"] - empty) / count
    results["redis bytes a job"] = (per_job, 0, 0)
    results["unchanged"] = sync(url, port)
    ours.send_bytes(body(count, count // 100))
    ours.recv()
    results["1 % changed"] = sync(url, port)
    server.terminate()
    server.join()
    return results


def medians(run: Callable[[], dict[str, tuple[float, float, int]]]) -> dict[str, tuple[float, ...]]:
    runs = [run() for _ in range(RUNS)]
    return {
        name: tuple(median(each[name][column] for each in runs) for column in range(3))
        for name in runs[0]
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder), appendfsync=None)
        redis = Redis.from_url(valkey.url)
        try:
            _report(redis, valkey.url)
        finally:
            redis.close()
            valkey.stop()


def _report(redis: Redis, url: str) -> None:
    peer = []
    for _ in range(RUNS):
        redis.flushall()
        peer.append(STOCK / stock(url))
    rate = median(peer)
    rows: list[tuple[object, ...]] = [
        ("stock RedBeat save()", STOCK, f"{rate:,.0f} jobs/s", "", "1x")
    ]
    for count in SIZES:
        for etag in (False, True):
            results = medians(lambda c=count, e=etag: measure(redis, url, c, e))  # type: ignore[misc]
            for name, (value, peak, _) in results.items():
                if name == "redis bytes a job":
                    rows.append((name, count, f"{value:,.0f} B", "", ""))
                elif name == "cold":
                    speed = count / value
                    what = f"{seconds(value)} ({speed:,.0f} jobs/s)"
                    rows.append((name, count, what, f"{peak:.0f} MB", f"{speed / rate:.1f}x"))
                else:
                    label = f"{name}, {'304 possible' if etag else 'no ETag'}"
                    rows.append((label, count, seconds(value), f"{peak:.0f} MB", ""))
    table(("what", "jobs", "time", "peak memory", "against stock"), rows)
