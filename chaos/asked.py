"""The manual actions and the deliberate damage, and what each of them may cost.

Every allowance of the checker is a field here, with its explanation. Anything that no field allows
is a fault.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

#: Seconds for which a tick may still fire after its job was paused, edited or removed, because beat
#: had already sent it.
IN_HAND = 1.0


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")


def job_of(run: str) -> str:
    return run.rpartition("@")[0]


@dataclass
class Asked:
    """The period that is checked (both ends lie between two ticks), and the manual actions in it.

    A pause, or the absence of a job that came back, lasts from one time up to the first tick after
    it. An edit is the time from which a job has another interval.
    """

    since: float = float("inf")
    until: float = float("inf")
    pauses: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    edits: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    skipped: set[str] = field(default_factory=set)
    by_hand: set[str] = field(default_factory=set)
    again: Counter[str] = field(default_factory=Counter)
    #: Runs that were open when `cron_tasks:open` was deleted. They may end or have no end, because
    #: no other key shows that they are open. Each may overlap another run of its job.
    forgotten: set[str] = field(default_factory=set)
    #: Runs in `cron_tasks:going` when it was deleted, each with its attempt at that time. Another
    #: run of the job may overlap that attempt, even if its request is made only later, because no
    #: other key shows that it is in flight.
    unguarded: set[tuple[str, int]] = field(default_factory=set)
    #: Jobs whose entry was deleted, and from when on the new entry is valid. The audit may not know
    #: their earlier ticks, because only the entry had the schedule.
    rewritten: dict[str, float] = field(default_factory=dict)
    #: The largest difference in seconds between the clocks of two processes. Decisions that depend
    #: on a clock may come this much earlier or later.
    apart: float = 0.0

    @property
    def start(self) -> str:
        return iso(self.since)

    def judges(self, run: str) -> bool:
        return seconds(run.rpartition("@")[2]) > self.since

    def is_sure(self, run: str) -> bool:
        """Whether the audit has to know the tick: the entry with its schedule was not deleted
        since."""
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
        """Whether beat may have sent the tick already when the job was paused or removed.

        If clocks differ, a beat that is ahead may also have fired a tick of the version before an
        edit.
        """
        ended = [since for since, _ in self.pauses[job]]
        if self.apart:
            ended += [since for since, _ in self.edits[job]]
        return any(since < tick < since + IN_HAND + self.apart for since in ended)
