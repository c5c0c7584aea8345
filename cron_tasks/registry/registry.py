"""The registry: the jobs in Redis, read in bulk, paused and resumed. writer.py writes them.

A job has an entry, which is one hash (entries.py), a value in the index `cron_tasks:jobs`
(index.py), and a due time in RedBeat's schedule.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, cast

import orjson
from redis import Redis
from redis.exceptions import ResponseError

from cron_tasks.errors import UnknownJob
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.records import Overtaken
from cron_tasks.registry import entries, index, skips, steps
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.schedules.catchup import next_fire_time, select_fire_times
from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.store.paging import PAGE, pages
from cron_tasks.store.scripts import script
from cron_tasks.text.suggestions import suggest_nearest

_look_for_special_jobs = script("registry/special_jobs")

#: The most jobs among which the nearest id is searched for.
MOST_COMPARED = 20_000


@dataclass(frozen=True, slots=True)
class Pause:
    """The reason of a manual pause, and its start (seconds since the epoch)."""

    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class RegisteredJob:
    """A registered job, with its next tick, its last tick (seconds), and its number of ticks.

    `next` is the next tick that will run. `due` is the next tick for beat, which is earlier if it
    is to be skipped. `skips` are all ticks that are to be skipped, earliest first.
    """

    job: Job
    next: float | None
    last: float | None
    runs: int
    paused: Pause | None
    due: float | None
    skips: tuple[float, ...]

    def coming_skips(self, now: float) -> list[float]:
        """Return the ticks to be skipped that beat has not processed."""
        start = now if self.due is None else min(self.due, now)
        return select_fire_times(self.job.schedule, self.skips, start, inf)


class Registry:
    """The registry in one Redis. An audit looks back `audit_days`."""

    def __init__(self, redis: Redis, audit_days: float = 7) -> None:
        self.redis = redis
        #: Seconds for which versions and accounts are kept.
        self.audited = int((audit_days + 1) * DAY)

    def read_index(self) -> dict[str, str]:
        """Return, by job id, the value that has the fingerprint of the job's row (index.py)."""
        return cast("dict[str, str]", self.redis.hgetall(keys.JOBS))

    def count(self) -> int:
        """Return the number of jobs."""
        return self.redis.hlen(keys.JOBS)

    def list_ids(self) -> list[str]:
        """Return the ids of all jobs, in no order."""
        return cast("list[str]", self.redis.hkeys(keys.JOBS))

    def get_job(self, job_id: str) -> Job:
        """Return the job with this id. Raises UnknownJob, which names the nearest existing id."""
        document = self.redis.hget(keys.entry_key(job_id), "job")
        if document is None:
            # Comparing a text with a million others would take a minute.
            known = self.list_ids() if self.count() <= MOST_COMPARED else []
            hint = suggest_nearest(job_id, known) or ". See `cron-tasks jobs list`"
            if any(row.id == job_id for row in read_rejected(self.redis)):
                hint = ", because its row is rejected. See `cron-tasks jobs rejected`"
            raise UnknownJob(f"No job has the ID {job_id!r}{hint}")
        return Job.from_document(cast("str", document))

    def read_jobs(
        self,
        job_ids: Iterable[str] | None = None,
        on_unreadable: Callable[[str, str], None] | None = None,
    ) -> Iterator[RegisteredJob]:
        """Yield the jobs with these ids, or all. A thousand take a fixed number of round trips.

        `on_unreadable` is called with the id of a job that cannot be read and the reason. Without
        it, ValueError or ResponseError is raised.
        """
        if job_ids is None:
            job_ids = (job_id for job_id, _ in self.redis.hscan_iter(keys.JOBS, count=PAGE))
        to_skip = skips.read_skips(self.redis)
        for page in pages(job_ids):
            with self.redis.pipeline(transaction=False) as pipe:
                for job_id in page:
                    pipe.hmget(keys.entry_key(job_id), "job", "meta", "paused")
                pipe.zmscore(keys.SCHEDULE, [keys.entry_key(job_id) for job_id in page])
                pipe.hmget(keys.FIRED, page)
                *rows, scores, fired = pipe.execute(raise_on_error=False)
            for reply in (scores, fired):
                if isinstance(reply, Exception):
                    raise reply
            for job_id, row, score, last in zip(page, rows, scores, fired, strict=True):
                try:
                    yield _parse_job(row, score, to_skip.get(job_id, ()), last)
                except (ValueError, ResponseError) as error:
                    if on_unreadable is None:
                        raise
                    on_unreadable(job_id, str(error))

    def pause(self, job_id: str, reason: str, now: float) -> list[Overtaken]:
        """Pause a job until it is resumed, even through syncs. Return the ticks that this overtook.

        Raises UnknownJob.
        """
        pause = orjson.dumps(asdict(Pause(reason, now)))
        change = steps.describe_change(now, "paused", self.audited)
        overtaken = steps.pause(self.redis, job_id=job_id, pause=pause, **change)
        if isinstance(overtaken, int):
            self.get_job(job_id)  # This raises UnknownJob.
            return []
        return Overtaken.parse_rows(overtaken)

    def resume(self, job_id: str, now: float) -> bool:
        """End a pause: the job fires next strictly after `now`. Return False if it was not paused.

        Raises UnknownJob.
        """
        job = self.get_job(job_id)
        change = steps.describe_change(now, "paused", self.audited)
        after = now
        while True:
            upcoming = next_fire_time(job.schedule, after) if job.enabled else None
            due = "" if upcoming is None else repr(upcoming)
            answer = steps.resume(self.redis, job_id=job_id, upcoming=due, **change)
            if answer in ("resumed", "running"):
                return answer == "resumed"
            # The entry has fired a tick that is later than `now`.
            after = float(answer)


def read_special_jobs(
    redis: Redis, shown: int
) -> Iterator[tuple[list[tuple[str, str]], int, list[str]]]:
    """Yield, page by page, the jobs that need more than the default queues, as (id, document).

    Each page also has the number of other jobs without a chat, and the first ids of those, at most
    `shown`.
    """
    cursor = "0"
    while True:
        cursor, special, without_chat, first = _look_for_special_jobs(
            redis,
            cursor=cursor,
            count=PAGE,
            shown=shown,
            special=index.SPECIAL,
            without_chat=index.WITHOUT_CHAT,
            with_chat=index.WITH_CHAT,
            special_fields=" ".join(index.SPECIAL_FIELDS),
        )
        yield special, without_chat, first
        if cursor == "0":
            return


def _parse_job(
    row: Any, score: float | None, to_skip: tuple[float, ...], fired: str | None
) -> RegisteredJob:
    if isinstance(row, Exception):
        raise row
    document, meta, paused = row
    if document is None:
        raise ValueError("its entry is gone")
    job = Job.from_document(document)
    last, runs = entries.parse_last_run(meta), entries.parse_run_count(meta)
    if fired:
        last, more = entries.parse_fired(fired)
        runs += more
    return RegisteredJob(
        job=job,
        next=skips.first_not_skipped(job.schedule, score, to_skip),
        last=last,
        runs=runs,
        paused=_parse_pause(paused) if paused else None,
        due=score,
        skips=to_skip,
    )


def _parse_pause(text: str) -> Pause:
    """Parse a stored pause. Raises ValueError."""
    stored = orjson.loads(text)
    if isinstance(stored, dict):
        reason, since = stored.get("reason"), stored.get("since")
        if isinstance(reason, str) and isinstance(since, int | float):
            return Pause(reason, since)
    raise ValueError("its pause cannot be read")
