"""What was asked of the system by hand or broken on purpose, and what of that may cost something.

Every allowance of the checker is a field here, with its words. What no field allows is a fault.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

#: Seconds for which a tick may still fire after its job was paused, edited or removed: the beat had
#: it in hand by then.
IN_HAND = 1.0


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")


def job_of(run: str) -> str:
    return run.rpartition("@")[0]


@dataclass
class Asked:
    """The stretch that is judged (both ends between two ticks), and what was done by hand in it.

    A pause, or the absence of a job that came back, is from one time up to the first tick after it;
    an edit is the time from which a job comes every so many seconds.
    """

    since: float = float("inf")
    until: float = float("inf")
    pauses: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    edits: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    skipped: set[str] = field(default_factory=set)
    by_hand: set[str] = field(default_factory=set)
    again: Counter[str] = field(default_factory=Counter)
    #: Runs that were open when `cron_tasks:open` was deleted. They may end or have no end: nothing
    #: else says that they are open. Each may overlap another run of its job.
    forgotten: set[str] = field(default_factory=set)
    #: Runs in `cron_tasks:going` when it was deleted, each with its attempt at that time. Another
    #: run of the job may overlap that attempt, even if its request is only made later: nothing else
    #: says that it is going.
    unguarded: set[tuple[str, int]] = field(default_factory=set)
    #: Jobs whose entry was deleted, and from when the entry that replaced it counts. The audit may
    #: not know their ticks before, since only the entry said what the schedule was.
    rewritten: dict[str, float] = field(default_factory=dict)
    #: The largest difference in seconds between the clocks of two processes. What a clock decides
    #: may come out earlier or later by so much.
    apart: float = 0.0

    @property
    def start(self) -> str:
        return iso(self.since)

    def judges(self, run: str) -> bool:
        return seconds(run.rpartition("@")[2]) > self.since

    def is_sure(self, run: str) -> bool:
        """Whether the audit has to know the tick: the entry that says so was not deleted since."""
        job, _, tick = run.rpartition("@")
        return seconds(tick) > self.rewritten.get(job, 0)

    def ticks(self, job: str, every: int) -> Iterator[int]:
        versions = [(0.0, every), *self.edits[job], (self.until, 1)]
        for (begin, every), (end, _) in pairwise(versions):
            begin = max(begin, self.since)
            for tick in range(int(begin // every + 1) * every, int(end) + 1, every):
                if not any(since < tick < upcoming for since, upcoming in self.pauses[job]):
                    yield tick

    def in_hand(self, job: str, tick: float) -> bool:
        """Whether the beat may have had the tick in hand when the job was paused or removed.

        With clocks apart a beat that is ahead may also have fired a tick of the version before an
        edit.
        """
        ended = [since for since, _ in self.pauses[job]]
        if self.apart:
            ended += [since for since, _ in self.edits[job]]
        return any(since < tick < since + IN_HAND + self.apart for since in ended)
