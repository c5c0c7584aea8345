"""The registry: jobs and their RedBeat entries in Redis, read and written in bulk.

One hash a job (entries.py), the index `cron_tasks:jobs` of fingerprints, and RedBeat's schedule.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from math import inf
from types import MappingProxyType
from typing import Any, cast

import orjson
from redis import Redis
from redis.exceptions import ResponseError

from cron_tasks.errors import UnknownJob
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.routing import routing_options
from cron_tasks.ledger.records import Overtaken
from cron_tasks.registry import entries, skips
from cron_tasks.registry import steps as steps
from cron_tasks.registry.fence import Fence, replace_hash
from cron_tasks.registry.first_due import by_time, first_due
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.schedules.catchup import next_fire_time, select_fire_times
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import names
from cron_tasks.store.paging import PAGE, pages
from cron_tasks.text.stored_json import to_storable
from cron_tasks.text.suggestions import suggest_nearest

_KEYS = [
    names.SCHEDULE,
    names.JOBS,
    names.SET_ASIDE,
    names.WAKE,
    names.REMOVED,
    names.FAILING,
    names.EDITS,
    names.SOURCE,
    names.SYNC_LOCK,
    names.GENERATION,
    names.SKIPS,
    names.UNTOLD,
]
#: A rejected row is kept for display up to this many bytes.
ROW_SHOWN = 4096


@dataclass(frozen=True, slots=True)
class Pause:
    """Why somebody paused a job by hand, and since when (seconds since the epoch)."""

    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class Registered:
    """A job as registered: its next tick and the one before (seconds), and how many it has had.

    `next` is the next tick that will run, `due` the one that beat comes to next: earlier where it
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
        """Return the ticks to be skipped that beat has not come to."""
        start = now if self.due is None else min(self.due, now)
        return select_fire_times(self.job.schedule, self.skips, start, inf)


class Registry:
    """The registry in one Redis."""

    def __init__(self, redis: Redis, audit_days: float = 7) -> None:
        self.redis = redis
        self._audited = int((audit_days + 1) * DAY)

    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of the row that each registered job came from, by job id."""
        return cast("dict[str, str]", self.redis.hgetall(names.JOBS))

    def count(self) -> int:
        return self.redis.hlen(names.JOBS)

    def job(self, job_id: str) -> Job:
        """The job with this id. Raises UnknownJob, which names the nearest id there is."""
        document = self.redis.hget(names.entry_key(job_id), "job")
        if document is None:
            known = cast("list[str]", self.redis.hkeys(names.JOBS))
            hint = suggest_nearest(job_id, known) or "; see `cron-tasks jobs list`"
            if any(each.id == job_id for each in self.rejected()):
                hint = ": its row is rejected; see `cron-tasks jobs rejected`"
            raise UnknownJob(f"no job has the id {job_id!r}{hint}")
        return Job.from_document(cast("str", document))

    def registered(
        self,
        job_ids: Iterable[str] | None = None,
        unreadable: Callable[[str, str], None] | None = None,
    ) -> Iterator[Registered]:
        """The jobs with these ids, or all; a fixed number of round trips per thousand.

        What cannot be read is told to `unreadable` (job id, reason), or raised without it.
        """
        if job_ids is None:
            job_ids = (job_id for job_id, _ in self.redis.hscan_iter(names.JOBS, count=PAGE))
        to_skip = skips.read(self.redis)
        for page in pages(job_ids):
            with self.redis.pipeline(transaction=False) as pipe:
                for job_id in page:
                    pipe.hmget(names.entry_key(job_id), "job", "meta", "paused")
                pipe.zmscore(names.SCHEDULE, [names.entry_key(job_id) for job_id in page])
                *rows, scores = pipe.execute(raise_on_error=False)
            if isinstance(scores, Exception):
                raise scores
            for job_id, row, score in zip(page, rows, scores, strict=True):
                try:
                    yield _registered(row, score, to_skip.get(job_id, ()))
                except (ValueError, ResponseError) as error:
                    if unreadable is None:
                        raise
                    unreadable(job_id, str(error))

    def apply(
        self,
        changes: Changes,
        clock: Callable[[], float],
        fence: Fence,
        last_read: float | None = None,
        progress: Callable[[int], None] = lambda _: None,
        overtaken: Callable[[list[Overtaken], str], object] = lambda *_: None,
    ) -> None:
        """Write the changes, a thousand to a call; an edit fires strictly after it is written.

        The exception is a job whose only tick lies after `last_read`, when the list was last read
        with success (seconds since the epoch): it is due at once, as a late tick. While Redis
        writes one page, the next is made. `overtaken` gets the ticks of each page that were due
        and had not fired, and the reason for which they are missed. Raises WriteRefused when
        `fence` no longer holds.
        """
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] | None = None
            for page in pages(changes.settle()):
                for rows, since in by_time(page, clock(), last_read):
                    args = self._put_args(rows, since, fence)
                    if written is not None:
                        written.result()
                    written = writer.submit(self._put, rows, since, fence, args, overtaken)
                progress(len(page))
            if written is not None:
                written.result()
        for gone in pages(changes.removed):
            common = [*self._common(clock(), "removed"), fence.token, fence.generation]
            args = [*common, names.HISTORY_PREFIX, *gone]
            if passed := steps.remove(self.redis, _KEYS, args):
                overtaken(Overtaken.read(passed), "removed")
            progress(len(gone))

    def _put(
        self,
        page: Sequence[Desired],
        now: float,
        fence: Fence,
        args: list[Any],
        overtaken: Callable[[list[Overtaken], str], object],
    ) -> None:
        """Write a page; a job that has fired meanwhile is due after what it has fired."""
        jobs = {desired.job.id: desired for desired in page}
        while page:
            stale, passed = steps.put(self.redis, _KEYS, args)
            if passed:
                overtaken(Overtaken.read(passed), "edited")
            fired = {id_: float(last) for id_, last in zip(stale[::2], stale[1::2], strict=True)}
            page = [jobs[job_id] for job_id in fired]
            args = self._put_args(page, now, fence, fired)

    def _put_args(
        self,
        page: Sequence[Desired],
        now: float,
        fence: Fence,
        fired: Mapping[str, float] = MappingProxyType({}),
    ) -> list[Any]:
        """Return the arguments of `put`; `fired`: by job id, the time after which it is due."""
        args = [*self._common(now, "edited"), fence.token, fence.generation, entries.stamp(now)]
        for desired in page:
            job = desired.job
            after = max(now, fired.get(job.id, now))
            timing, due = first_due(job.schedule, job.enabled, after)
            if job.id in fired:
                due += f"@{after!r}"
            definition = entries.definition(job.id, timing, routing_options(job))
            args += (job.id, desired.fingerprint, timing, definition, job.to_document(), due)
        return args

    def pause(self, job_id: str, reason: str, now: float) -> list[Overtaken]:
        """Let a job rest, through every sync, until it is resumed; the ticks that this overtook.

        Raises UnknownJob.
        """
        pause = orjson.dumps(asdict(Pause(reason, now)))
        passed = steps.pause(self.redis, _KEYS, [*self._common(now, "paused"), job_id, pause])
        if passed == 0:
            self.job(job_id)
            return []
        return Overtaken.read(passed)

    def resume(self, job_id: str, now: float) -> bool:
        """End a pause: the job fires next strictly after `now`. False: it was not paused.

        Raises UnknownJob.
        """
        job = self.job(job_id)
        after = now
        while True:
            upcoming = next_fire_time(job.schedule, after) if job.enabled else None
            due = "" if upcoming is None else repr(upcoming)
            answer = steps.resume(self.redis, _KEYS, [*self._common(now, "paused"), job_id, due])
            if answer in ("resumed", "running"):
                return bool(answer == "resumed")
            after = float(answer)

    def _common(self, now: float, reason: str) -> list[Any]:
        """What every step is given: registry_steps.py."""
        overtaken = f'"status": "missed", "reason": "{reason}", "until": "{iso_utc(now)}"}}'
        prefixes = [names.JOB_ENTRY_PREFIX, names.VERSIONS_PREFIX, names.ACCOUNT_PREFIX]
        return [repr(now), self._audited, *prefixes, overtaken]

    def record_rejected(self, rejected: Sequence[Rejected], fence: Fence) -> list[Rejected]:
        """Replace the list of rejected rows, and return those of them that are new.

        Writes nothing when the list is as it was. Raises WriteRefused when `fence` no longer holds.
        """
        listed = {each.place: _rejection(each) for each in rejected}
        stored = cast("dict[str, str]", self.redis.hgetall(names.REJECTED))
        if listed == stored:
            return []
        replace_hash(self.redis, names.REJECTED, listed, fence)
        return [each for each in rejected if stored.get(each.place) != listed[each.place]]

    def rejected(self) -> list[Rejected]:
        """Rows that validation rejected, and entries that beat had to set aside."""
        aside = cast("dict[str, str]", self.redis.hgetall(names.SET_ASIDE)).items()
        entries_ = [
            Rejected(names.job_id_of(key), f"entry {key}", (why,), None) for key, why in aside
        ]
        return self.rejected_rows() + entries_

    def rejected_rows(self) -> list[Rejected]:
        """Rows that validation rejected."""
        rows = cast("dict[str, str]", self.redis.hgetall(names.REJECTED)).values()
        return [
            Rejected(**row | {"errors": tuple(row["errors"])}) for row in map(orjson.loads, rows)
        ]


def _registered(row: Any, score: float | None, to_skip: tuple[float, ...]) -> Registered:
    if isinstance(row, Exception):
        raise row
    document, meta, paused = row
    if document is None:
        raise ValueError("its entry is gone")
    job = Job.from_document(document)
    pause = Pause(**orjson.loads(paused)) if paused else None
    upcoming = skips.first_kept(job.schedule, score, to_skip)
    last, runs = entries.last_run(meta), entries.run_count(meta)
    return Registered(job, upcoming, last, runs, pause, score, to_skip)


def _rejection(rejected: Rejected) -> str:
    stored = {"id": rejected.id, "place": rejected.place, "errors": rejected.errors}
    return orjson.dumps(stored | {"row": to_storable(rejected.row, ROW_SHOWN)}).decode()
