"""Keeps the pages of plain jobs that are due together, because they often are so again.

To group such a page again would look up each of its jobs. A page is kept as of the number of the
registry's last edit, as in known.py.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cron_tasks.ledger.batch import Departure
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import next_fire_time
from cron_tasks.store.caches import drop_oldest

#: The most pages that are kept. A page of 4,000 jobs takes half a megabyte.
MOST = 64


@dataclass(frozen=True, slots=True)
class Group:
    """The ids of jobs whose messages have the same options, by schedule."""

    options: Mapping[str, Any]
    schedules: Sequence[tuple[Schedule, Sequence[str]]]

    def depart(self, score: str) -> Departure:
        """Return the departure of these jobs, without those whose schedule is broken."""
        moves: dict[str, list[str]] = defaultdict(list)
        for schedule, job_ids in self.schedules:
            try:
                found = next_fire_time(schedule, float(score))
            except ValueError:
                continue  # A separate judgement of each entry will find that it is broken.
            moves["" if found is None else repr(found)] += job_ids
        return Departure(score, moves, self.options)


def make_group(options: Mapping[str, Any], members: Iterable[tuple[Schedule, str]]) -> Group:
    """Group jobs with these options. Many share a schedule, which is then the same object."""
    schedules: dict[int, Schedule] = {}
    job_ids: dict[int, list[str]] = defaultdict(list)
    for schedule, job_id in members:
        schedules[id(schedule)] = schedule
        job_ids[id(schedule)].append(job_id)
    return Group(options, [(schedules[each], job_ids[each]) for each in schedules])


class RepeatedPages:
    """The pages that were due recently, by the key of their first entry."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[list[str], int, Sequence[Group]]] = {}

    def find(self, due: Mapping[str, str], edits: int) -> Sequence[Group]:
        """Return the groups of these entries as of the edit `edits`, or () if they are not known.

        `due` are entries with their scores. All of a page that is known have one score.
        """
        kept = self._pages.get(next(iter(due)))
        if kept is None or kept[1] != edits or len(set(due.values())) > 1:
            return ()
        return kept[2] if kept[0] == list(due) else ()

    def keep(self, due: Iterable[str], edits: int, groups: Sequence[Group]) -> None:
        """Keep a page whose entries are all in `groups`."""
        entries = list(due)
        self._pages[entries[0]] = entries, edits, groups
        drop_oldest(self._pages, MOST)

    def clear(self) -> None:
        self._pages.clear()
