"""Check the ticks of one job and day against the count in the ledger. Pure.

A count is a number and a checksum, so it shows at once whether the day is right. If it is not, a
lost tick must not hide behind a tick that ran twice. So the check first names the ticks that the
history shows to be wrong, then those that follow from the count. It reports the least number of the
others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cron_tasks.ledger.day_count import checksum_of, invert_checksum
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.iso8601 import iso_utc

#: With at most this many ticks, a pair is unlikely (1 in 1,000) to explain a count by chance.
PAIRS = 300
#: If the count has this many ticks more than the history, a part of the history was lost.
SURPLUS = 5
#: Seconds by which the clocks of workers may differ.
SKEW = 60.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence in the history of a job.

    `ok` is the number of times that each tick ended ok, and `ended` holds every tick that ended.
    The history is complete from `since` on (seconds since the epoch).
    """

    ok: Counter[float] = field(default_factory=Counter)
    ended: frozenset[float] = frozenset()
    since: float = float("inf")


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a day: one `tick`, or at least `times` ticks that cannot be named.

    `kind` is "lost", "doubled" or "unasked". `name` is a run id or, without a `tick`, a sentence.
    """

    kind: str
    name: str
    times: int = 1
    tick: float | None = None


@dataclass(frozen=True, slots=True)
class DayCheck:
    """One day of a job, `number` days after the epoch.

    `ticks` are those that the day's count should include. `others` are ticks with a separate record
    (True: it was ok). The count holds `count` ticks, whose checksums add up to `sum` (None: the sum
    is not known).
    """

    job_id: str
    number: int
    ticks: Sequence[float]
    others: Mapping[float, bool]
    count: int
    sum: int | None

    def find_faults(self, evidence: Evidence) -> list[Finding]:
        """Return the faults, or an empty list if the count is that of the ticks."""
        more, rest = self.count - len(self.ticks), None
        if self.sum is not None:
            rest = self.sum - sum(map(checksum_of, self.ticks))
        if more == 0 and not rest:
            return []
        found = self._name_by_history(evidence)
        # A run that the history has twice ran twice. A run that it lacks was lost, unless a part of
        # the history was lost: then the count differs in another way.
        doubled = [each for each in found if each.kind == "doubled"]
        for certain in (found, doubled):
            left = self._subtract(certain, more, rest)
            if left in ((0, 0), (0, None)):
                return certain
            if named := self._name_by_count(*left):
                return certain + named
        surplus, _ = self._subtract(found, more, rest)
        certain = doubled if surplus > SURPLUS else found
        return certain + self._report_numbers(*self._subtract(certain, more, rest))

    def _subtract(
        self, found: Sequence[Finding], more: int, rest: int | None
    ) -> tuple[int, int | None]:
        """Return the rest of a surplus of ticks and of their checksums without these faults."""
        for each in found:
            sign = -1 if each.kind == "lost" else 1
            more -= sign
            if rest is not None and each.tick is not None:
                rest -= sign * checksum_of(each.tick)
        return more, rest

    def _name_by_history(self, evidence: Evidence) -> list[Finding]:
        """Return the faults that the history shows."""
        found = []
        own_end = {**dict.fromkeys(self.ticks, True), **self.others}
        for tick, times in evidence.ok.items():
            if tick in own_end:
                found += [self._finding("doubled", tick)] * (times - own_end[tick])
        for tick in self.ticks:
            if tick > evidence.since + SKEW and tick not in evidence.ended:
                found.append(self._finding("lost", tick))
        return found

    def _name_by_count(self, more: int, rest: int | None) -> list[Finding]:
        """Return the faults that follow from the count: one tick, all ticks, or one lost and one
        doubled.

        The count has `more` ticks than it should, and `rest` is the surplus of its checksums.
        """
        left = self.ticks
        if more < 0 and -more == len(left) and rest in (None, -sum(map(checksum_of, left))):
            return [self._finding("lost", tick) for tick in left]
        if rest is None:
            return []
        if more == -1:
            return [self._finding("lost", tick) for tick in left if checksum_of(tick) == -rest][:1]
        if more == 1 and rest >= 0:
            return self._name_surplus(rest)
        if more == 0 and len(left) <= PAIRS:
            lost = {checksum_of(tick): tick for tick in left}
            for tick in (*left, *self.others):
                if (gone := lost.get(checksum_of(tick) - rest)) is not None:
                    return [self._finding("lost", gone), self._finding("doubled", tick)]
        return []

    def _name_surplus(self, rest: int) -> list[Finding]:
        """Return the one tick too many in the count. It may be one that was not asked for."""
        in_day = invert_checksum(rest)
        if in_day is None:
            return []
        tick = self.number * DAY + in_day / 1000
        if tick in self.others or tick in self.ticks:
            return [self._finding("doubled", tick)]
        return [self._finding("unasked", tick)] if in_day % 1000 == 0 else []

    def _report_numbers(self, more: int, rest: int | None) -> list[Finding]:
        """Return the least number of faults, if none can be named.

        A single fault would have been named. So there are several, which partly cancel out.
        """
        if not self.ticks and not self.others:
            about = f"{more:,} runs of {self.job_id} on {self._date} that no schedule asked for"
            return [Finding("unasked", about, more)]
        lost, doubled = max(-more, 0), max(more, 0)
        is_hidden = rest is not None and abs(more) <= 1
        lost, doubled = lost + is_hidden, doubled + is_hidden
        least = "at least " if is_hidden else ""
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

    def _finding(self, kind: str, tick: float) -> Finding:
        return Finding(kind, RunId(self.job_id, tick), tick=tick)
