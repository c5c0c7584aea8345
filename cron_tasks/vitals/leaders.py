"""The beats that have led: the stream `cron_tasks:leaders`, one entry for each change of leader."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis import Redis

from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.store.client import is_wrong_type
from cron_tasks.store.readable import is_time, parse_each
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of
from cron_tasks.vitals.signs import parse_signs, this_host

#: The changes of leader that are kept.
KEPT = 100


class Leader(NamedTuple):
    """A beat that began to lead at `since` (seconds since the epoch)."""

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"the beat on {printable(self.host, 100)} (process {self.pid})"


class LeaderHistory(NamedTuple):
    """The current or last leader at `now`.

    `leaders` are the latest changes, newest first. `standbys` is the number of other beats that
    give signs of life. `silent_for` is the number of seconds since the last sign of the last
    leader. It is None if that beat ended in order, or gave no sign within an hour.
    """

    now: float
    has_leader: bool
    leaders: Sequence[Leader]
    standbys: int
    silent_for: float | None

    @property
    def changes_of_day(self) -> int:
        """Return how often a beat began to lead in the last day. KEPT means that number or more."""
        return sum(self.now - each.since <= DAY for each in self.leaders)

    def __str__(self) -> str:
        """Return who leads since when, or who led last, as a sentence without a full stop."""
        last = self.leaders[0] if self.leaders else None
        if not self.has_leader:
            return "No beat is leading, so no job fires" + self._describe_last(last)
        if last is None:
            return "A beat is leading"  # It has the previous version, which adds no entry.
        who, changes = str(last), self.changes_of_day
        leads = f"{who[:1].upper()}{who[1:]} has led for {format_duration(self.now - last.since)}"
        standbys = number_of(self.standbys, "beat")
        others = f"{standbys} standing by" if self.standbys else "no other beat stands by"
        more = "at least " if changes == KEPT else ""
        lately = number_of(changes, "change")
        return f"{leads}, {others}; {more}{lately} of leader in the last day"

    def _describe_last(self, last: Leader | None) -> str:
        if last is None:
            return ""
        silent = ""
        if self.silent_for is not None:
            silent = f", which has been silent for {format_duration(self.silent_for)}"
        return f". The last to lead was {last}{silent}"


def note_leader(redis: Redis, now: float) -> None:
    """Add this process to the stream as the leader from now on, and count the change."""
    fields: Any = {"host": this_host(), "pid": os.getpid(), "at": repr(now)}
    with redis.pipeline(transaction=False) as pipe:
        pipe.hincrby(keys.METRICS, "leader_changes_total", 1)
        pipe.xadd(keys.LEADERS, fields, maxlen=KEPT, approximate=False)
        # A key of another type must not block beat.
        pipe.execute(raise_on_error=False)


def read_leaders(redis: Redis, now: float) -> LeaderHistory:
    """Read the current leader and the previous ones, in one round trip."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.exists(keys.LEADER_LOCK)
        pipe.xrevrange(keys.LEADERS, count=KEPT)
        pipe.zrange(keys.SIGNS, 0, -1, withscores=True)
        has_leader, rows, stored = pipe.execute(raise_on_error=False)
    for answer in (has_leader, rows, stored):
        if isinstance(answer, Exception) and not is_wrong_type(answer):
            raise answer
    rows, stored = (each if isinstance(each, list) else [] for each in (rows, stored))
    leaders = list(parse_each(_parse_leader, rows))
    signs = parse_signs(stored)
    beats = sum(each.part == "beat" and each.is_fresh(now) for each in signs)
    standbys = max(beats - bool(has_leader), 0)
    last = [
        now - each.at
        for each in signs
        if each.part == "leader" and leaders and (each.host, each.pid) == leaders[0][:2]
    ]
    return LeaderHistory(now, bool(has_leader), leaders, standbys, min(last, default=None))


def _parse_leader(entry: tuple[str, dict[str, str]]) -> Leader:
    """Parse an entry of the stream. Raises LookupError or ValueError."""
    fields, at = entry[1], float(entry[1]["at"])
    if not is_time(at):
        raise ValueError("no date can show when the beat began to lead")
    return Leader(fields["host"], int(fields["pid"]), at)
