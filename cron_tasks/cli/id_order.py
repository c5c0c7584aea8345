"""The order of job ids for people: numbers in their order, then names."""

from collections.abc import Iterable, Iterator
from heapq import nsmallest

from cron_tasks.store.paging import PAGE


def sort_key(job_id: str) -> tuple[bool, int, str]:
    """Return the key by which ids are sorted."""
    number = job_id.isascii() and job_id.isdigit()
    return not number, int(job_id) if number else 0, job_id


def sort_lazily(job_ids: Iterable[str]) -> Iterator[str]:
    """Yield ids in their order. The first page comes before the rest is sorted.

    Sorting a million ids takes seconds. Numbers are first told apart by their length, because a
    longer number comes later.
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
    first = nsmallest(PAGE, job_ids, key=sort_key)
    yield from first
    if len(first) < len(job_ids):
        job_ids.sort(key=sort_key)
        yield from job_ids[len(first) :]
