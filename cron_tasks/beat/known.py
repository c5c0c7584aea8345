"""Caches plain jobs from one tick to the next, so that beat reads only the edited ones.

As long as the number of the registry's last edit does not change, known jobs are not read. No
number stands for two edits, even if Redis loses data (count_edit.lua). The cache is not trusted:
`advance_batch` ignores entries that were edited, moved or removed since.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from sys import intern
from typing import Any

from redis import Redis

from cron_tasks.beat.plain import is_on_time, is_plain
from cron_tasks.beat.repeated import Group, RepeatedPages, make_group
from cron_tasks.beat.rows import Row, parse_definition, parse_object, read_rows
from cron_tasks.ledger.batch import Departure
from cron_tasks.runs.notifications import make_default_template
from cron_tasks.schedules import Schedule
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.caches import drop_oldest

#: The most jobs that are known. Each takes about 300 bytes, and twice that until it was due.
MOST = 1_000_000
#: Up to this many ticks of one time run as single runs, so that Flower shows each of them.
FEW = 10


@dataclass(slots=True)
class KnownJob:
    """A plain job as of the registry's edit `seen`. Its own last edit was `edit`."""

    job_id: str
    schedule: Schedule
    options: Mapping[str, Any]
    #: The options as a hashable value.
    route: tuple[Any, ...]
    edit: str
    seen: int
    #: The template of its notifications, until the workers have it. b"" if they have to read the
    #: job.
    template: bytes


class KnownJobs:
    """The plain jobs that were due recently, by the keys of their entries."""

    def __init__(self, settings: Settings) -> None:
        self._grace = settings.misfire_grace
        self._chat_id = settings.chat_id
        self._jobs: dict[str, KnownJob] = {}
        self._repeated = RepeatedPages()

    def depart(
        self, redis: Redis, due: Mapping[str, str], edits: int, now: float, others: Collection[str]
    ) -> tuple[Sequence[Departure], list[Row]]:
        """Split due entries into plain ticks, and rows that have to be judged by themselves.

        `due` are entries with their scores, at least one, and `edits` is the number of the
        registry's last edit when they were read. `others` are ids of jobs whose ticks are not plain
        this time.
        """
        if not others and (departures := self._repeat(due, edits, now)):
            return departures, []
        read = self._look_up(redis, due, edits)
        new = {row.job_id for row in read.values() if row.fired is None}
        groups, departures, left = list[Group](), list[Departure](), set(due)
        for score, jobs in self._group(due, now, set(others)):
            group = make_group(jobs[0].options, ((job.schedule, job.job_id) for job in jobs))
            groups.append(group)
            departures.append(_complete(group.depart(score), jobs, new))
        for departure in departures:
            for job_ids in departure.moves.values():
                left.difference_update(map(keys.entry_key, job_ids))
        if not left and not read:
            self._repeated.keep(due, edits, groups)
        unread = {key: due[key] for key in due if key in left and key not in read}
        read |= {row.key: row for row in read_rows(redis, unread)}
        return departures, [read[key] for key in due if key in left]

    def forget(self, job_ids: Iterable[str]) -> None:
        """Read these jobs again the next time."""
        for job_id in job_ids:
            self._jobs.pop(keys.entry_key(job_id), None)
            self._repeated.clear()

    def _repeat(self, due: Mapping[str, str], edits: int, now: float) -> Sequence[Departure]:
        """Return the departures of a page that was due before, or () if it was not."""
        score = next(iter(due.values()))
        if not is_on_time(float(score), now, self._grace):
            return ()
        departures = [group.depart(score) for group in self._repeated.find(due, edits)]
        is_whole = sum(departure.size for departure in departures) == len(due)
        return departures if is_whole else ()

    def _look_up(self, redis: Redis, due: Mapping[str, str], edits: int) -> dict[str, Row]:
        """Make all plain jobs among the entries known. Return the rows that were read for this."""
        asked = {}
        for key, score in due.items():
            known = self._jobs.get(key)
            if known is None or known.seen != edits:
                asked[key] = score
        read: dict[str, Row] = {}
        edit_of = {key: known.edit for key in asked if (known := self._jobs.get(key))}
        for row in read_rows(redis, asked, edit_of):
            if row.is_unchanged:
                self._jobs[row.key].seen = edits
            else:
                read[row.key] = row
                self._learn(row, edits)
        return read

    def _learn(self, row: Row, edits: int) -> None:
        """Add the job of a row to the cache if it is plain. A broken row is judged separately."""
        self._jobs.pop(row.key, None)
        if row.job_id is None or not row.edit:
            return
        try:
            row.key.encode()  # as in judge_row
            document = parse_object(row.job, "job")
            if not is_plain(document):
                return
            schedule, options = parse_definition(row.definition)
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        route = _make_route(**options)
        # Workers know quick jobs already, because such a job was due within the minute.
        template = b"" if schedule.is_quick else make_default_template(document, self._chat_id)
        self._jobs[row.key] = KnownJob(
            row.job_id, schedule, options, route, intern(row.edit), edits, template
        )
        drop_oldest(self._jobs, MOST)

    def _group(
        self, due: Mapping[str, str], now: float, others: set[str]
    ) -> list[tuple[str, list[KnownJob]]]:
        """Return the plain ticks by their time and the options of their message."""
        groups: dict[tuple[str, tuple[Any, ...]], list[KnownJob]] = defaultdict(list)
        for key, score in due.items():
            if (known := self._jobs.get(key)) and known.job_id not in others:
                groups[score, known.route].append(known)
        return [
            (score, jobs)
            for (score, _), jobs in groups.items()
            if len(jobs) > FEW and is_on_time(float(score), now, self._grace)
        ]


def _complete(
    departure: Departure, jobs: Sequence[KnownJob], new: Container[str | None]
) -> Departure:
    """Return a departure of these jobs with the templates that the workers do not have yet, and
    whether all of the jobs are `new`, which have never fired."""
    templates = {each.job_id: (each.edit, each.template) for each in jobs if each.template}
    for each in jobs:
        each.template = b""
    are_new = all(each.job_id in new for each in jobs)
    return replace(departure, templates=templates, are_new=are_new)


@lru_cache(maxsize=1024)
def _make_route(**options: Any) -> tuple[Any, ...]:
    """Return the options of a message as a hashable value, which all jobs with these share."""
    return tuple(options.items())
