"""What more workers would do on machines that we do not have: a simulation from measured costs.

Beat, Redis, each worker's main process and each of its slots have a core of their own, take one
thing at a time, and cost what docs/performance.md says. What waits, waits in order.
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from bench.report import seconds, table

WORKERS, SLOTS, TICKS, PAGE = (1, 2, 4, 8, 16, 32), 4, 10_000, 1000
#: What a process asks for: a part and for how many seconds, no part for a wait, None for work.
Step = Generator[tuple[str | None, float] | None, float, None]


@dataclass(frozen=True)
class Costs:
    """Seconds of CPU a tick from its due time on, a core each, and how many ticks may share a
    message."""

    advance: float
    claim: float
    finish: float
    beat: float
    main: float
    slot: float
    chunk: int


QUICK = Costs(8e-6, 5e-6, 11e-6, beat=8e-6, main=3e-6, slot=31e-6, chunk=500)
OTHER = Costs(30e-6, 80e-6, 110e-6, beat=60e-6, main=110e-6, slot=900e-6, chunk=10)


class Storm:
    """`ticks` due at once, worked off by `workers` whose runs take `action` seconds."""

    def __init__(self, ticks: int, workers: int, costs: Costs, action: float = 0.0) -> None:
        self.costs, self.action = costs, action
        self.busy: dict[str, float] = {}
        self.end = 0.0
        self._free: dict[str, float] = {}
        self._queue: deque[int] = deque()
        self._idle: list[Step] = []
        self._events: list[tuple[float, int, Step]] = []
        self._order = count()
        self._later(0.0, self._beat(ticks, workers * SLOTS))
        for worker in range(workers):
            for slot in range(SLOTS):
                self._later(0.0, self._work(f"worker {worker}", f"slot {worker}.{slot}"))
        self._run()

    def _beat(self, ticks: int, slots: int) -> Step:
        for first in range(0, ticks, PAGE):
            page = min(PAGE, ticks - first)
            yield "Redis", page * self.costs.advance
            share = min(-(-page // slots), self.costs.chunk)
            for at in range(0, page, share):
                chunk = min(share, page - at)
                now = yield "beat", chunk * self.costs.beat
                self._queue.append(chunk)
                if self._idle:
                    self._later(now, self._idle.pop(0))

    def _work(self, main: str, slot: str) -> Step:
        while True:
            while not self._queue:
                yield None
            ticks = self._queue.popleft()
            yield main, ticks * self.costs.main
            yield "Redis", ticks * self.costs.claim
            yield slot, ticks * self.costs.slot
            yield None, ticks * self.action
            self.end = yield "Redis", ticks * self.costs.finish

    def _later(self, when: float, process: Step) -> None:
        heappush(self._events, (when, next(self._order), process))

    def _run(self) -> None:
        begun: set[Step] = set()
        while self._events:
            now, _, process = heappop(self._events)
            try:
                step = process.send(now) if process in begun else next(process)
            except StopIteration:
                continue
            begun.add(process)
            if step is None:
                self._idle.append(process)
                continue
            part, cost = step
            start = now
            if part:
                start = max(now, self._free.get(part, 0.0))
                self._free[part] = start + cost
                self.busy[part] = self.busy.get(part, 0.0) + cost
            self._later(start + cost, process)

    @property
    def busiest(self) -> str:
        """The busiest part and its share of the time; else it is the actions that take it."""
        part = max(self.busy, key=lambda each: self.busy[each])
        return f"{part.partition(' ')[0]} {self.busy[part] / self.end:.0%}"


def main() -> None:
    kinds = [("`notify`", QUICK, 0.0), ("of 10 ms", OTHER, 0.01), ("of 0.1 s", OTHER, 0.1)]
    rows = []
    for workers in WORKERS:
        row: list[object] = [workers]
        for _, costs, action in kinds:
            storm = Storm(TICKS, workers, costs, action)
            row += [f"{TICKS / storm.end:,.0f}", seconds(storm.end), storm.busiest]
        rows.append(row)
    head = [text for kind, *_ in kinds for text in (f"{kind}: a second", "all done", "busiest")]
    table((f"workers of {SLOTS}", *head), rows)
