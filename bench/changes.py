"""From an edit in the service until it counts: by the poke of an id, and by the feed.

100,000 jobs, one edit a second for a minute, while the only slot of the only worker is busy. An
edit counts when the job's entry in Redis has it, and the schedule its next fire time.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import quantiles
from typing import Any
from urllib.parse import parse_qs, urlsplit

from helpers import wait_until
from redis import Redis

from bench.reconcile import job
from bench.report import seconds, table
from bench.stage import Stage, stage
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

JOBS, EDITS = 100_000, 60
BUSY = 15.0
LIST = "/api/cronjobs/"
FEED = LIST + "changes"


class Service:
    """A service with a list, single rows, a feed, and slow calls of jobs, in threads."""

    def __init__(self) -> None:
        # As JSON, so that the service itself takes next to no time.
        self.rows = {str(n): json.dumps(job(n)).encode() for n in range(JOBS)}
        self.changes: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.has_feed = False
        self.calls = self.lists = self.read = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body, headers = outer.answer(parts.path, parse_qs(parts.query))
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                # The head is about as long as this line and the names of its headers.
                outer.read += len(body) + 150
                self.wfile.write(body)

            def do_POST(self) -> None:
                outer.calls += 1
                time.sleep(BUSY)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        busy = {"type": "http", "method": "POST", "url": self.url + "/busy"}
        busy_job = {"id": "busy", "name": "busy", "every": 5, "overlap": "allow", "action": busy}
        self.rows["busy"] = json.dumps(busy_job).encode()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[bytes, dict[str, str]]:
        if path == LIST:
            self.lists += 1
            link = f'<{FEED}?cursor={len(self.changes)}>; rel="changes"'
            body = b"[" + b",".join(self.rows.values()) + b"]"
            return body, {"Link": link} if self.has_feed else {}
        if path == FEED:
            return self._wait_for_changes(int(query["cursor"][0]), float(query["wait"][0])), {}
        return self.rows[path.removeprefix(LIST).rstrip("/")], {}

    def _wait_for_changes(self, cursor: int, wait: float) -> bytes:
        with self.changed:
            self.changed.wait_for(lambda: len(self.changes) > cursor, wait)
            found = self.changes[cursor:]
            return json.dumps({"changes": found, "cursor": str(len(self.changes))}).encode()

    def edit(self, job_id: str, at: float) -> None:
        row = {"id": int(job_id), "name": f"edit at {at}", "run_at": iso_utc(at)}
        self.rows[job_id] = json.dumps(row).encode()
        if self.has_feed:
            with self.changed:
                self.changes.append({"id": int(job_id), "job": row})
                self.changed.notify_all()


def _counted(redis: Redis, job_id: str, at: float) -> Callable[[], bool]:
    return lambda: redis.zscore(keys.SCHEDULE, keys.entry_key(job_id)) == at


def _measure(on: Stage, service: Service, with_feed: bool) -> tuple[list[float], float, int]:
    """Return the seconds of each edit, the bytes that were read for one, and the lists read."""
    service.has_feed = with_feed
    on.redis.flushall()
    on.celery.env |= {"CRON_TASKS_REST_URL": service.url, "CRON_TASKS_HTTP_ALLOW": "127.0.0.1"}
    calls = service.calls
    worker, beat = on.celery.worker(1), on.celery.beat()
    wait_until(lambda: on.redis.hlen(keys.JOBS) == JOBS + 1, "the jobs", 300)
    wait_until(lambda: service.calls > calls, "a busy slot", 60)
    wait_until(lambda: not on.redis.exists(keys.SYNC_LOCK), "the end of the sync", 60)
    found, read, lists = [], 0, service.lists
    start = time.time()
    for number in range(EDITS):
        time.sleep(max(0.0, start + number - time.time()))
        job_id, at = str(number * 7), float(4_000_000_000 + number + EDITS * with_feed)
        before, lists_before, begun = service.read, service.lists, time.perf_counter()
        service.edit(job_id, at)
        if not with_feed:
            on.redis.lpush(keys.POKE, job_id)
        counted = _counted(on.redis, job_id, at)
        while not counted():
            time.sleep(0.001)
        found.append(time.perf_counter() - begun)
        if service.lists == lists_before:
            read = max(read, service.read - before)
    for process in (worker, beat):
        process.kill()
    return found, read, service.lists - lists


def main() -> None:
    rows, service = [], Service()
    with stage() as on:
        for how in ("poke of an id", "feed"):
            found, read, lists = _measure(on, service, how == "feed")
            cuts = quantiles(found, n=100, method="inclusive")
            times = [seconds(each) for each in (cuts[49], cuts[98], max(found))]
            rows.append((how, EDITS, *times, f"{read} B", lists))
    service.server.shutdown()
    head = ("by", "edits", "p50", "p99", "longest", "most read for one", "lists meanwhile")
    table(head, rows)
