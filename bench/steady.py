"""`notify` jobs that are due all the time: of every second, and a million of every 30 seconds.

Another process empties the queue, as a bot does. It counts each tick of each job, and how late it
came. CRON_TASKS_BENCH_SECONDS is another duration of the last measurement.
"""

import multiprocessing
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection

from helpers import wait_until
from redis import Redis

from bench.report import cpu_seconds, seconds, table
from bench.stage import Stage, register, stage

QUEUE = "queue:to_telegram"
#: Jobs, seconds from one tick of a job to the next, seconds of measurement, appendfsync.
CASES = (
    (50_000, 1, 30, "everysec"),
    (100_000, 1, 30, None),
    (1_000_000, 30, int(os.environ.get("CRON_TASKS_BENCH_SECONDS", "300")), None),
)
#: Seconds that are not measured: beat and the workers do not know the jobs yet.
WARM_UP = 5
#: Jobs that begin in one second, at most.
MOST_NEW = 10_000
#: Messages that the reader takes at a time.
TAKEN = 5_000
#: The job and the fire time of a message. To parse all of it would take the reader half a core.
RUN_ID = re.compile(rb'"run_id":"(\d+)@([^"]*)"')


@dataclass
class Seen:
    """The ticks of one fire time: how often each job came, and the delays in milliseconds."""

    fire_time: float
    times: bytearray
    delays: Counter[int] = field(default_factory=Counter)

    def count(self) -> tuple[int, int, Counter[int]]:
        """Return the number of jobs that came, and how many came twice, and the delays."""
        came = len(self.times) - self.times.count(0)
        return came, sum(self.times) - came, self.delays


def read(url: str, jobs: int, pipe: Connection) -> None:
    """Take messages until somebody asks for what was seen, which is sent by fire time."""
    found: dict[bytes, Seen] = {}
    with Redis.from_url(url) as redis:
        while not pipe.poll():
            messages = redis.lpop(QUEUE, TAKEN)
            now = time.time()
            if not messages:
                time.sleep(0.005)
                continue
            runs = RUN_ID.findall(b"\n".join(messages))
            assert len(runs) == len(messages)
            for at, count in Counter(at for _, at in runs).items():
                if at not in found:
                    fire_time = datetime.fromisoformat(at.decode()).timestamp()
                    found[at] = Seen(fire_time, bytearray(jobs))
                found[at].delays[int((now - found[at].fire_time) * 1000)] += count
            for job, at in runs:
                found[at].times[int(job)] += 1
    pipe.send({seen.fire_time: seen.count() for seen in found.values()})


@dataclass(frozen=True)
class Figures:
    expected: int
    seen: int
    twice: int
    p50: float
    p99: float
    cpu: float


def measure(on: Stage, jobs: int, every: int, lasts: int) -> Figures:
    """Ticks of `lasts` seconds. A tick is late by the time at which the reader has taken it."""
    on.redis.flushall()
    begin = int(time.time() + 20 + jobs / 10_000) // every * every
    register(on.redis, _rows(jobs, every, begin))
    worker, beat = on.celery.worker(2), on.celery.beat()
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    assert time.time() < begin, "registering took longer than the head start"
    ours, theirs = multiprocessing.Pipe()
    reader = multiprocessing.Process(target=read, args=(on.url, jobs, theirs), daemon=True)
    reader.start()
    pids = (worker.popen.pid, beat.popen.pid, on.redis.info("server")["process_id"])
    first = begin + WARM_UP + every * _cycles(jobs, every)
    time.sleep(first - time.time())
    before = cpu_seconds(*pids)
    time.sleep(first + lasts - time.time())
    spent = cpu_seconds(*pids) - before
    time.sleep(3)
    wait_until(lambda: not on.redis.llen(QUEUE), "the last messages", 60)
    ours.send("what was seen?")
    found = ours.recv()
    for process in (worker, beat):
        process.kill()
    reader.join()
    inside = [seen for at, seen in found.items() if first <= at < first + lasts]
    return _sum_up(inside, jobs * lasts // every, spent)


def _cycles(jobs: int, every: int) -> int:
    """Return over how many intervals the jobs begin, so that at most so many a second are new."""
    return -(-jobs // (every * MOST_NEW))


def _rows(jobs: int, every: int, begin: int) -> Iterator[dict[str, object]]:
    # Each second of an interval has as many jobs.
    length = every * _cycles(jobs, every)
    starts = [datetime.fromtimestamp(begin + n, UTC).isoformat() for n in range(length)]
    for n in range(jobs):
        yield {"id": n, "name": f"job {n}", "every": every, "start_at": starts[n % length]}


def _sum_up(seen: list[tuple[int, int, dict[int, int]]], expected: int, cpu: float) -> Figures:
    delays: dict[int, int] = {}
    for _, _, each in seen:
        for delay, count in each.items():
            delays[delay] = delays.get(delay, 0) + count
    total = sum(delays.values())
    at: list[float] = []
    for share in (0.5, 0.99):
        left = total * share
        for delay, count in sorted(delays.items()):
            left -= count
            if left <= 0:
                at.append(delay / 1000)
                break
    count, twice = sum(each[0] for each in seen), sum(each[1] for each in seen)
    return Figures(expected, count, twice, at[0], at[1], cpu / total * 1e6)


def main() -> None:
    head = ("jobs", "AOF", "ticks", "missing", "twice", "p50", "p99", "CPU of a tick")
    table(head, map(_measure_case, CASES))


def _measure_case(case: tuple[int, int, int, str | None]) -> tuple[str, ...]:
    jobs, every, lasts, appendfsync = case
    with stage(appendfsync) as on:
        found = measure(on, jobs, every, lasts)
    return (
        f"{jobs:,} every {every} s, for {lasts} s",
        appendfsync or "off",
        f"{found.expected:,}",
        f"{found.expected - found.seen:,}",
        f"{found.twice:,}",
        seconds(found.p50),
        seconds(found.p99),
        f"{found.cpu:.1f} µs",
    )
