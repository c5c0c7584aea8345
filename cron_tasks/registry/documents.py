"""Reads the documents of many jobs, except those that the caller knows already."""

from collections.abc import Iterable, Iterator, Sequence

from redis import Redis

from cron_tasks.store.paging import pages
from cron_tasks.store.scripts import Script, script

_read: Script[list[int | Sequence[str]]] = script("registry/documents")


def read_documents(
    redis: Redis, jobs: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Yield each job id with its document and the number of its last edit.

    `jobs` are ids with the number that the caller knows, "" for none. A job that still has that
    number comes with None. The document of a removed job is "".
    """
    for page in pages(jobs):
        for (job_id, _), found in zip(page, _read(redis, jobs=page), strict=True):
            yield job_id, None if isinstance(found, int) else (found[0], found[1])
