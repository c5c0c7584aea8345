"""The index of all jobs, by which pages search and filter. It is kept in memory.

It is read completely once, and then follows the stream `cron_tasks:changes`. The index only selects
jobs. The data of a job on a page are read from Redis when the page is shown.
"""

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from sys import intern
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.store import keys
from cron_tasks.store.paging import PAGE, pages
from cron_tasks.text.display import sort_key

#: The most entries of the stream of changes that are read at once. If there are more, the index is
#: read again.
CHANGES_READ = 2000
#: Seconds between two looks for changes.
LOOK_EVERY = 1.0
#: With more jobs than this, pages do not wait until the index has followed the changes, and it
#: checks for them less often, because sorting 100,000 jobs takes a fifth of a second.
MANY, LOOK_EVERY_OF_MANY = 5000, 5.0
#: The most words of a search.
MOST_WORDS = 10
#: The states by which the list can be filtered, and their texts.
STATES = {
    "": "All",
    "failing": "Failing",
    "running": "Running",
    "paused": "Paused",
    "disabled": "Disabled",
    "rejected": "Rejected",
}
#: Tags that the page offers.
TAGS_SHOWN = 30


@dataclass(frozen=True, slots=True)
class IndexedJob:
    """The fields by which jobs are filtered. `spec` is the stored schedule, `paused` the start of a
    pause."""

    id: str
    name: str
    tags: tuple[str, ...]
    enabled: bool
    paused: float | None
    spec: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All jobs in order, by id. `at` is a time of the monotonic clock.

    `text` is the searched text of all jobs. The n-th job begins at the n-th of `starts`.
    """

    jobs: Mapping[str, IndexedJob] = field(default_factory=dict)
    seen: tuple[Any, ...] = ()
    at: float = 0.0
    ordered: tuple[IndexedJob, ...] = ()
    text: str = ""
    starts: tuple[int, ...] = ()
    tags: tuple[tuple[str, int], ...] = ()
    paused: int = 0
    disabled: int = 0

    def name_of(self, job_id: str) -> str:
        """Return the name of a job, or its id if the job is not, or no longer, known."""
        job = self.jobs.get(job_id)
        return job.name if job else job_id


class Index:
    """The index in one process. Its methods may be called from any thread."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._now = Snapshot()

    def get(self, patience: float = 60.0) -> Snapshot:
        """Return the jobs as of the last seconds. The first call reads them all.

        Another call waits up to `patience` seconds for the first one, and then returns none (`at`
        is 0).
        """
        if not self._now.at:
            if self._lock.acquire(timeout=patience):
                try:
                    self._now = self._follow(self._now)
                finally:
                    self._lock.release()
        elif len(self._now.jobs) < MANY:
            if time.monotonic() - self._now.at >= LOOK_EVERY:
                self._catch_up()
        elif time.monotonic() - self._now.at >= LOOK_EVERY_OF_MANY:
            threading.Thread(target=self._catch_up, daemon=True).start()
        return self._now

    def peek(self) -> Snapshot:
        """Return the known jobs. There are none while the first call of `get` is running."""
        return self.get() if self._now.at else self._now

    def _catch_up(self) -> None:
        """Follow the changes, unless another thread does so."""
        if self._lock.acquire(blocking=False):
            try:
                self._now = self._follow(self._now)
            finally:
                self._lock.release()

    def refresh(self, job_ids: Iterable[str]) -> None:
        """Read some jobs again, because this process has just changed them."""
        with self._lock:
            if self._now.at:
                jobs = dict(self._now.jobs)
                self._reread(jobs, job_ids)
                self._now = _arrange(jobs, self._now.seen, time.monotonic())

    def _follow(self, before: Snapshot) -> Snapshot:
        began = time.monotonic()
        if before.at and began - before.at < LOOK_EVERY:
            return before
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(keys.EDITS)
            pipe.hlen(keys.JOBS)
            pipe.xrevrange(keys.CHANGES, count=1)
            edits, count, newest = pipe.execute()
        last = newest[0][0] if newest else "0"
        seen = (edits, count, last)
        if seen == before.seen:
            return replace(before, at=began)
        jobs = dict(before.jobs)
        changed = self._changed_since(before.seen[2], last) if before.seen else None
        if changed is None:
            jobs = {}
            for page in pages(
                job_id for job_id, _ in self._redis.hscan_iter(keys.JOBS, count=PAGE)
            ):
                self._reread(jobs, page)
        else:
            self._reread(jobs, changed)
        return _arrange(jobs, seen, began)

    def _changed_since(self, before: str, last: str) -> set[str] | None:
        """Return the ids of the jobs that have changed, or None if the stream does not show
        that."""
        if before == last or before == "0":
            return None
        rows = cast(
            "list[tuple[str, dict[str, str]]]",
            self._redis.xrange(keys.CHANGES, min=before, count=CHANGES_READ + 1),
        )
        # The last entry that was seen is still there, so none after it has been trimmed.
        if not rows or rows[0][0] != before or len(rows) > CHANGES_READ:
            return None
        return {fields.get("id", "") for _, fields in rows[1:]}

    def _reread(self, jobs: dict[str, IndexedJob], job_ids: Iterable[str]) -> None:
        for page in pages(job_ids):
            with self._redis.pipeline(transaction=False) as pipe:
                for job_id in page:
                    pipe.hmget(keys.entry_key(job_id), "job", "paused")
                rows = pipe.execute(raise_on_error=False)
            for job_id, row in zip(page, rows, strict=True):
                jobs.pop(job_id, None)
                if (job := _parse(job_id, row)) is not None:
                    jobs[job_id] = job


def _parse(job_id: str, row: Any) -> IndexedJob | None:
    """Return a job, or None if it is gone or cannot be read, which `doctor` reports."""
    try:
        document, paused = row
        fields = orjson.loads(document)
        return IndexedJob(
            id=job_id,
            name=fields["name"],
            tags=tuple(map(intern, fields.get("tags", ()))),
            enabled=fields.get("enabled", True),
            paused=orjson.loads(paused)["since"] if paused else None,
            spec=intern(orjson.dumps(fields["schedule"]).decode()),
        )
    except (ValueError, TypeError, LookupError):
        return None


def _arrange(jobs: dict[str, IndexedJob], seen: tuple[Any, ...], at: float) -> Snapshot:
    ordered = tuple(sorted(jobs.values(), key=lambda job: sort_key(job.id)))
    tags = Counter(tag for job in ordered for tag in job.tags)
    texts = [f"{job.id}\n{job.name}\n".casefold() for job in ordered]
    return Snapshot(
        text="".join(texts),
        starts=tuple(accumulate(map(len, texts), initial=0)),
        jobs=jobs,
        seen=seen,
        at=at,
        ordered=ordered,
        tags=tuple(tags.most_common(TAGS_SHOWN)),
        paused=sum(job.paused is not None for job in ordered),
        disabled=sum(not job.enabled for job in ordered),
    )


def select(
    snapshot: Snapshot,
    query: str = "",
    tag: str = "",
    state: str = "",
    ids: Collection[str] | None = None,
) -> Sequence[IndexedJob]:
    """Return the jobs that match, in order. With `ids`, which other states need, only those.

    Every word of `query` has to occur in the id or the name. No job is in a state that is unknown.
    """
    found: Iterable[IndexedJob] = _search(snapshot, query.casefold().split()[:MOST_WORDS])
    if ids is not None and query:
        found = [job for job in found if job.id in ids]
    elif ids is not None:
        known = (snapshot.jobs.get(job_id) for job_id in ids)
        found = sorted(filter(None, known), key=lambda job: sort_key(job.id))
    if tag:
        found = [job for job in found if tag in job.tags]
    match state:
        case "paused":
            found = [job for job in found if job.paused is not None]
        case "disabled":
            found = [job for job in found if not job.enabled]
        case other if other and ids is None:
            found = ()
    return tuple(found)


def _search(snapshot: Snapshot, words: Sequence[str]) -> Sequence[IndexedJob]:
    """Return the jobs that have all the words. The rarest word is searched first."""
    numbers: Iterable[int] | None = None
    for word in sorted(words, key=snapshot.text.count):
        if numbers is None:
            numbers = list(_find_word(snapshot, word))
        else:
            starts = snapshot.starts
            numbers = [
                n for n in numbers if snapshot.text.find(word, starts[n], starts[n + 1]) >= 0
            ]
    return snapshot.ordered if numbers is None else [snapshot.ordered[n] for n in numbers]


def _has_word(snapshot: Snapshot, number: int, word: str) -> bool:
    return snapshot.text.find(word, snapshot.starts[number], snapshot.starts[number + 1]) >= 0


def _find_word(snapshot: Snapshot, word: str) -> Iterator[int]:
    """Yield the numbers of the jobs that have a word."""
    text, starts = snapshot.text, snapshot.starts
    position = text.find(word)
    while position >= 0:
        number = bisect_right(starts, position) - 1
        yield number
        position = text.find(word, starts[number + 1])
