"""The ticks of one job and day against the count that the ledger kept of them. Pure.

A count is a number and a checksum, so it tells at once whether all is well. Where it is not, ticks
that were lost and ticks that ran twice must not make up for each other: what the history shows is
named first, then what the count allows to be named, and of the rest it is said how many there are
at least.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cron_tasks.ledger.day_count import DAY, checksum_of, invert_checksum
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.iso8601 import iso_utc

#: So many ticks make it unlikely enough (1 in 1,000) that two of them explain a count by chance.
PAIRS = 300
#: Seconds by which the clocks of workers may differ.
SKEW = 60.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a job's history shows: how often each tick ended ok, all ticks that ended, and since
    when (seconds) the history has every end."""

    ok: Counter[float] = field(default_factory=Counter)
    ended: frozenset[float] = frozenset()
    since: float = float("inf")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a day: `tick` where it can be named, else how many `times` at least."""

    kind: str
    name: str
    times: int = 1
    tick: float | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a job: the ticks that its count should hold, and its other ticks, whose end is
    known by itself (True: it was ok); the number in the count and, where it is known, the sum of
    checksums."""

    job_id: str
    number: int
    ticks: Sequence[float]
    others: Mapping[float, bool]
    count: int
    sum: int | None

    def findings(self, evidence: Evidence) -> list[Finding]:
        """Return what is wrong; nothing when the count is that of the ticks."""
        more, rest = self.count - len(self.ticks), None
        if self.sum is not None:
            rest = self.sum - sum(map(checksum_of, self.ticks))
        if more == 0 and not rest:
            return []
        found = self._seen(evidence)
        more -= sum(-1 if each.kind == "lost" else 1 for each in found)
        if rest is not None:
            signed = ((each.tick, -1 if each.kind == "lost" else 1) for each in found)
            rest -= sum(sign * checksum_of(tick) for tick, sign in signed if tick is not None)
        if more == 0 and not rest:
            return found
        return found + (self._told(more, rest) or self._counted(more, rest))

    def _seen(self, evidence: Evidence) -> list[Finding]:
        """What the history shows."""
        found = []
        own_end = {**dict.fromkeys(self.ticks, True), **self.others}
        for tick, times in evidence.ok.items():
            if tick in own_end:
                found += [self._named("doubled", tick)] * (times - own_end[tick])
        for tick in self.ticks:
            if tick > evidence.since + SKEW and tick not in evidence.ended:
                found.append(self._named("lost", tick))
        return found

    def _told(self, more: int, rest: int | None) -> list[Finding]:
        """What the count itself names: one tick, or all of them, or one of each kind."""
        left = self.ticks
        if more < 0 and -more == len(left) and rest in (None, -sum(map(checksum_of, left))):
            return [self._named("lost", tick) for tick in left]
        if rest is None:
            return []
        if more == -1:
            return [self._named("lost", tick) for tick in left if checksum_of(tick) == -rest][:1]
        if more == 1 and rest >= 0:
            return self._surplus(rest)
        if more == 0 and len(left) <= PAIRS:
            lost = {checksum_of(tick): tick for tick in left}
            for tick in (*left, *self.others):
                if (gone := lost.get(checksum_of(tick) - rest)) is not None:
                    return [self._named("lost", gone), self._named("doubled", tick)]
        return []

    def _surplus(self, rest: int) -> list[Finding]:
        """The one tick too many in the count; it may be one that no schedule asked for."""
        in_day = invert_checksum(rest)
        if in_day is None:
            return []
        tick = self.number * DAY + in_day / 1000
        if tick in self.others or tick in self.ticks:
            return [self._named("doubled", tick)]
        return [self._named("unasked", tick)] if in_day % 1000 == 0 else []

    def _counted(self, more: int, rest: int | None) -> list[Finding]:
        """How many there are at least, when none can be named.

        One tick alone would have been named, so there are others that make up for each other.
        """
        if not self.ticks and not self.others:
            about = f"{more:,} runs of {self.job_id} on {self._date} that no schedule asked for"
            return [Finding("unasked", about, more)]
        lost, doubled = max(-more, 0), max(more, 0)
        hidden = rest is not None and abs(more) <= 1
        lost, doubled = lost + hidden, doubled + hidden
        least = "at least " if hidden else ""
        about = f"{len(self.ticks) + len(self.others):,} ticks of {self.job_id} on {self._date}"
        found = []
        if lost:
            found.append(Finding("lost", f"{least}{lost:,} of the {about}", lost))
        if doubled:
            found.append(
                Finding("doubled", f"{least}{doubled:,} of the {about} ran twice", doubled)
            )
        return found

    @property
    def _date(self) -> str:
        return iso_utc(self.number * DAY)[:10]

    def _named(self, kind: str, tick: float) -> Finding:
        return Finding(kind, RunId(self.job_id, tick), tick=tick)
