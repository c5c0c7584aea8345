"""Choose which jobs `jobs list` shows, and their order."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import nsmallest
from math import inf
from typing import Any, NamedTuple

from cron_tasks.jobs.job import Job
from cron_tasks.registry.registry import RegisteredJob
from cron_tasks.store.paging import PAGE
from cron_tasks.text import display

#: A job with the record of its last run, if it has one.
Listed = tuple[RegisteredJob, str | None]


class Filter(NamedTuple):
    """Which jobs are shown: those with a tag, and with a text in id or name. None means all."""

    tag: str | None
    text: str | None

    def __bool__(self) -> bool:
        return bool(self.tag or self.text)

    def matches(self, job: Job | None) -> bool:
        """Return whether to show a job. One that is not known matches only a filter for all."""
        if not self:
            return True
        if job is None or (self.tag and self.tag not in job.tags):
            return False
        text = (self.text or "").casefold()
        return text in job.id.casefold() or text in job.name.casefold()


#: The order of ids: numbers in their order, then names.
by_id = display.sort_key


def sort_lazily(job_ids: Iterable[str]) -> Iterator[str]:
    """Yield ids in their order. The first page comes before the rest is sorted.

    Sorting a million ids takes seconds. Numbers are first grouped by their length, because a longer
    number comes later.
    """
    groups: dict[int, list[str]] = {}
    names: list[str] = []
    for job_id in job_ids:
        if job_id.isascii() and job_id.isdigit():
            groups.setdefault(len(job_id.lstrip("0")), []).append(job_id)
        else:
            names.append(job_id)
    for length in sorted(groups):
        yield from _sort_group(groups.pop(length))
    yield from _sort_group(names)


def _sort_group(job_ids: list[str]) -> Iterator[str]:
    first = nsmallest(PAGE, job_ids, key=by_id)
    yield from first
    if len(first) < len(job_ids):
        job_ids.sort(key=by_id)
        yield from job_ids[len(first) :]


def _by_next(listed: Listed) -> float:
    """Sort by the next fire time, the soonest first. Jobs without one come last."""
    job = listed[0]
    return inf if job.next is None or job.paused or not job.job.enabled else job.next


def _by_last(listed: Listed) -> float:
    """Sort by the end of the last run, the latest first. Jobs that never ran come last."""
    record = listed[1]
    return -json.loads(record)["finished_at"] if record else inf


#: By the name of an order: its key. Jobs with the same key are in the order of their ids.
_KEYS: Mapping[str, Callable[[Listed], Any]] = {
    "id": lambda listed: by_id(listed[0].job.id),
    "name": lambda listed: listed[0].job.name.casefold(),
    "next": _by_next,
    "last": _by_last,
}
ORDERS = tuple(_KEYS)


def sort_key(order: str) -> Callable[[Listed], Any]:
    """Return the key by which `sorted` puts jobs in one of ORDERS."""
    key = _KEYS[order]
    return lambda listed: (key(listed), by_id(listed[0].job.id))
