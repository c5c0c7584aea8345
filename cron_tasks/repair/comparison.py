"""Anti-entropy: the keys of jobs and runs in Redis are compared with one another, and repaired.

Every script keeps these in step. They differ only when somebody deletes a key or restores an old
backup, or when Redis loses acknowledged writes. A job would then silently never fire again.

    index (`cron_tasks:jobs`) ◀──▶ entries (`redbeat:cron_tasks:<id>`) ◀──▶ `redbeat::schedule`
    open runs (`cron_tasks:open`) ◀──▶ `cron_tasks:deadlines`, and what belongs to open runs

A due time can be computed, so it is repaired here: from the entry's last tick, so that the catch-up
policy decides about the ticks since then. The next sync repairs the rest, and has to read the whole
list for this. A page is one call, so that a step costs the leading beat a few milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import structlog
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.ledger.batches import describe_kept
from cron_tasks.ledger.ledger import LEASE, PATIENCE
from cron_tasks.registry import entries
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.registry.registry import Registry
from cron_tasks.repair.foreign import find_foreign
from cron_tasks.schedules.catchup import next_fire_time
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.scripts import Script, script
from cron_tasks.text.display import is_utf8

log = structlog.get_logger("cron_tasks.comparison")

#: The least and the most fields or keys that one call reads.
LEAST, MOST = 500, 5000
#: The number of steps for a pass over everything, within LEAST and MOST.
STEPS = 100
#: Hashes whose fields belong to open runs. The value is whether the run id is the value, by job.
_BELONGINGS = {
    keys.ATTEMPTS: False,
    keys.BEFORE: False,
    keys.STOP: False,
    keys.GOING: True,
    keys.QUEUED: True,
}

#: The timeout of a Celery task whose job has none.
TIMEOUT = Job.model_fields["timeout"].default

_look_at_jobs = script("repair/jobs")
_look_at_entries = script("repair/entries")
_look_at_ticks = script("repair/ticks")
_look_at_leftovers = script("repair/leftovers")
_put_back = script("repair/schedule")
_settle_fired = script("repair/fired")
_close_counted_minutes = script("repair/counted_minutes")
_list_jobs = script("repair/list_jobs")
_count_mended = script("repair/count_mended")


@dataclass(slots=True)
class Differences:
    """The number of differences of each kind.

    `unscheduled` jobs have a next tick but are not in the schedule. `unreadable` ones have no entry
    that can be read. `unlisted` entries are not in the index. `untimed` runs are open but have no
    deadline, so nobody looks after them. `leftovers` belong to runs that have ended. `foreign` keys
    hold what somebody else wrote.
    """

    foreign: int = 0
    unscheduled: int = 0
    unreadable: int = 0
    unlisted: int = 0
    untimed: int = 0
    leftovers: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Return the numbers of differences, without kinds that have none."""
        return {kind: times for kind, times in asdict(self).items() if times}

    @property
    def needs_sync(self) -> bool:
        """Return whether the list has to be read again to repair them."""
        return self.unreadable + self.unlisted > 0


def add_up(pages: Iterable[Differences]) -> Differences:
    """Return the sum of the differences of several pages."""
    found = Counter[str]()
    for page in pages:
        found.update(page.counts)
    return Differences(**found)


#: Yields the differences of one kind, page by page. Repairs them if called with True.
Look = Callable[[bool], Iterator[Differences]]


class Comparison:
    """Compares the keys of one Redis with one another. `clock` returns seconds since the epoch."""

    def __init__(self, redis: Redis, settings: Settings, clock: Callable[[], float]) -> None:
        self.redis = redis
        self.clock = clock
        self._kept = describe_kept(settings)
        self._audited = Registry(redis, settings.audit_days).audited
        self._looks: list[Look] = [
            self._find_foreign_keys,
            self._find_jobs,
            self._find_entries,
            self._find_ticks,
            self._find_leftovers,
            self._settle_fired,
            self._close_counted_minutes,
        ]
        self._passes: list[Iterator[Differences]] = [iter(()) for _ in self._looks]

    def find(self) -> Differences:
        """Return all differences, and change nothing."""
        return self.find_until(lambda: False)[0]

    def find_until(self, is_enough: Callable[[], bool]) -> tuple[Differences, bool]:
        """Return the differences, and whether everything was compared. Change nothing.

        `is_enough` is called after each page, and ends the search.
        """
        found, is_whole = list[Differences](), True
        for page in (page for look in self._looks for page in look(False)):
            if is_enough():
                is_whole = False
                break
            found.append(page)
        return add_up(found), is_whole

    def mend(self, all_keys: bool = True) -> Differences:
        """Repair all differences, and return them.

        Without `all_keys` it does not look for entries that are not in the index, because that
        reads the names of all keys in the database.
        """
        looks = [look for look in self._looks if all_keys or look != self._find_entries]
        return self._log_mended(add_up(page for look in looks for page in look(True)))

    def step(self) -> Differences:
        """Repair the next page of each kind. After the last page, begin again. Return the
        differences."""
        pages = []
        for n, look in enumerate(self._looks):
            page = next(self._passes[n], None)
            if page is None:
                self._passes[n] = look(True)
                page = next(self._passes[n])
            pages.append(page)
        return self._log_mended(add_up(pages))

    def _log_mended(self, found: Differences) -> Differences:
        """Log and count the repairs."""
        if counts := found.counts:
            log.warning("registry.mended", **counts, hint="did somebody delete or restore keys?")
            _count_mended(self.redis, kept=int(7 * DAY), counts=list(counts.items()))
        return found

    def _find_foreign_keys(self, mend: bool) -> Iterator[Differences]:
        """Find keys that hold what somebody else wrote. This comes first: other looks read them."""
        yield Differences(foreign=len(find_foreign(self.redis, self.clock(), mend)))

    def _find_jobs(self, mend: bool) -> Iterator[Differences]:
        """Find jobs that have no entry, and those that should be in the schedule and are not."""
        for rows in self._pages(_look_at_jobs, self._size(keys.JOBS)):
            found, lacking = Differences(), list[tuple[str, str, str]]()
            for job_id, definition, meta, since, edit in rows:
                try:
                    due = _compute_due(definition, meta, float(since or 0))
                except Exception as error:  # As in beat, a broken entry affects only itself.
                    found.unreadable += 1
                    if mend:
                        key, reason = keys.entry_key(job_id), f"its entry is unreadable: {error}"
                        quarantine_entry(self.redis, key, reason, self._audited)
                else:
                    if due is not None:
                        lacking.append((job_id, edit, repr(due)))
            found.unscheduled = len(lacking)
            if mend and lacking:
                put_back = _put_back(self.redis, now=self.clock(), lacking=lacking)
                found.unscheduled = len(put_back)
            yield found

    def _find_entries(self, mend: bool) -> Iterator[Differences]:
        """Find entries of jobs that are not in the index.

        They go into the index without a fingerprint, so the next sync writes or removes them. A
        key that is not UTF-8 does not belong to a job.
        """
        for unlisted in self._pages(_look_at_entries, self.redis.dbsize()):
            ids = [job_id for job_id in unlisted if is_utf8(job_id)]
            if mend and ids:
                _list_jobs(self.redis, unlisted=[(job_id,) for job_id in ids])
            yield Differences(unlisted=len(ids))

    def _find_ticks(self, mend: bool) -> Iterator[Differences]:
        """Find open runs without a deadline, which nobody would ever handle."""
        for untimed in self._pages(
            _look_at_ticks,
            self._size(keys.OPEN),
            mend=mend,
            now=self.clock(),
            patience=PATIENCE,
            lease=LEASE,
            default_timeout=TIMEOUT,
        ):
            yield Differences(untimed=untimed)

    def _find_leftovers(self, mend: bool) -> Iterator[Differences]:
        """Find fields that belong to runs that have ended."""
        for key, by_job in _BELONGINGS.items():
            size = self._size(key)
            for left in self._pages(
                _look_at_leftovers, size, belongings=key, mend=mend, by_job=by_job
            ):
                yield Differences(leftovers=left)

    def _settle_fired(self, mend: bool) -> Iterator[Differences]:
        """Move the last fire times of batches into the entries. This is postponed work, not a
        difference."""
        if not mend:
            return
        for _ in self._pages(_settle_fired, self._size(keys.FIRED)):
            yield Differences()

    def _close_counted_minutes(self, mend: bool) -> Iterator[Differences]:
        """Move the minutes in progress of the previous version into the histories of their jobs."""
        if not mend:
            return
        size = self._size(keys.COUNTED_MINUTE)
        for _ in self._pages(_close_counted_minutes, size, **self._kept):
            yield Differences()

    def _size(self, key: str) -> int:
        return int(self.redis.hlen(key))

    def _pages(self, look: Script[Any], size: int, **values: Any) -> Iterator[Any]:
        """Call `look` with each cursor in turn. Yield the differences of each page."""
        count = min(max(size // STEPS, LEAST), MOST)
        cursor = "0"
        while True:
            cursor, found = look(self.redis, cursor=cursor, count=count, **values)
            yield found
            if cursor == "0":
                return


def _compute_due(definition: str, meta: str, since: float) -> float | None:
    """Return the first tick of an entry that beat has not processed. None if there is none.

    Raises the error of an entry that cannot be read.
    """
    fields = orjson.loads(definition)
    schedule = entries.read_schedule(fields)
    entries.parse_run_count(meta)
    due = next_fire_time(schedule, max(entries.parse_last_run(meta) or 0.0, since))
    return due if fields["enabled"] else None
