"""Anti-entropy: what Redis holds of jobs and ticks is compared with itself, and mended.

Every script keeps these in step, so they differ only when somebody deletes a key, restores an old
backup, or a Redis loses acknowledged writes. Unmended, a job would silently never fire again.

    index (`cron_tasks:jobs`) ◀──▶ entries (`redbeat:cron_tasks:<id>`) ◀──▶ `redbeat::schedule`
    open ticks (`cron_tasks:open`) ◀──▶ `cron_tasks:deadlines`, and what belongs to open ticks

What can be computed is mended here: a due time from the entry's last tick, so that the catch-up
policy decides about the ticks since then. The rest is left to the next sync, which is made to read
the whole list. A page is one call, so that a step costs the leading beat a few milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import structlog
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import LEASE, PATIENCE
from cron_tasks.registry import entries
from cron_tasks.registry.quarantine import set_aside
from cron_tasks.schedules.catchup import next_fire_time
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import names
from cron_tasks.store.scripts import Script, positional, script
from cron_tasks.text.display import is_utf8

log = structlog.get_logger("cron_tasks.comparison")

#: Fields or keys looked at in one call: at least, and at most. Between them, a hundredth of all.
LEAST, MOST = 500, 5000
#: In how many steps all is looked at, as long as MOST allows.
STEPS = 100
#: Hashes whose fields belong to open runs, and whether the run is the value, by job.
_BELONGINGS = {
    names.ATTEMPTS: False,
    names.BEFORE: False,
    names.STOP: False,
    names.GOING: True,
    names.QUEUED: True,
}

#: Seconds that a Celery task has where its job names no timeout.
TIMEOUT = Job.model_fields["timeout"].default

_jobs = script("repair/jobs")
_entries = script("repair/entries")
_ticks = script("repair/ticks")
_leftovers = script("repair/leftovers")
_schedule = positional("repair/schedule")


@dataclass(slots=True)
class Differences:
    """How many of each kind were found.

    `unscheduled` jobs have a next tick but are not in the schedule, `unreadable` ones have no entry
    that can be read, `unlisted` entries are not in the index. `untimed` ticks are open but have no
    deadline, so nobody looks after them. `leftovers` belong to ticks that have ended.
    """

    unscheduled: int = 0
    unreadable: int = 0
    unlisted: int = 0
    untimed: int = 0
    leftovers: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """What was found, without the kinds of which there are none."""
        return {kind: times for kind, times in asdict(self).items() if times}

    @property
    def needs_sync(self) -> bool:
        """Whether the list has to be read again to mend them."""
        return self.unreadable + self.unlisted > 0


def total(pages: Iterable[Differences]) -> Differences:
    """Add up what several pages have."""
    found = Counter[str]()
    for page in pages:
        found.update(page.counts)
    return Differences(**found)


#: Yields what a pass over one kind finds, page by page; mends it if called with True.
Look = Callable[[bool], Iterator[Differences]]


class Comparison:
    """Compares one Redis with itself; `clock` gives the time in seconds since the epoch."""

    def __init__(self, redis: Redis, settings: Settings, clock: Callable[[], float]) -> None:
        self.redis = redis
        self.clock = clock
        self._audited = int((settings.audit_days + 1) * DAY)
        self._looks: list[Look] = [self._jobs, self._entries, self._ticks, self._leftovers]
        self._passes: list[Iterator[Differences]] = [iter(()) for _ in self._looks]

    def find(self) -> Differences:
        """Count all that differs, and change nothing."""
        return total(page for look in self._looks for page in look(False))

    def mend(self, keys: bool = True) -> Differences:
        """Mend all that differs; without `keys` no look is taken for entries that no index lists.

        That look reads the names of all keys in the database.
        """
        looks = [look for look in self._looks if keys or look != self._entries]
        return self._mended(total(page for look in looks for page in look(True)))

    def step(self) -> Differences:
        """Mend the next page of each kind; after the last page begin with the first again."""
        pages = []
        for n, look in enumerate(self._looks):
            page = next(self._passes[n], None)
            if page is None:
                self._passes[n] = look(True)
                page = next(self._passes[n])
            pages.append(page)
        return self._mended(total(pages))

    def _mended(self, found: Differences) -> Differences:
        """Log and count what was mended."""
        if counts := found.counts:
            log.warning("registry.mended", **counts, hint="did somebody delete or restore keys?")
            with self.redis.pipeline(transaction=False) as pipe:
                for kind, times in counts.items():
                    pipe.hincrby(names.MENDED, kind, times)
                pipe.expire(names.MENDED, 7 * DAY)
                pipe.execute()
        return found

    def _jobs(self, mend: bool) -> Iterator[Differences]:
        """Find jobs that have no entry, and those that should be in the schedule and are not."""
        for rows in self._pages(_jobs, self._size(names.JOBS)):
            found, lacking = Differences(), list[str]()
            for job_id, definition, meta, since, edit in rows:
                try:
                    due = _due(definition, meta, float(since or 0))
                except Exception as error:  # As in beat: a broken entry harms only itself.
                    found.unreadable += 1
                    if mend:
                        key, reason = names.entry_key(job_id), f"its entry is unreadable: {error}"
                        set_aside(self.redis, key, reason, self._audited)
                else:
                    lacking += [] if due is None else [job_id, edit, repr(due)]
            found.unscheduled = len(lacking) // 3
            if mend and lacking:
                keys_written = [names.SCHEDULE, names.WAKE, names.SKIPS]
                prefixes = [names.JOB_ENTRY_PREFIX, names.ACCOUNT_PREFIX]
                args = [*prefixes, repr(self.clock()), *lacking]
                done = _schedule(self.redis, keys_written, args)
                found.unscheduled = len(done)
            yield found

    def _entries(self, mend: bool) -> Iterator[Differences]:
        """Find entries of jobs that are not in the index; the next sync writes or removes them.

        They go into the index without a fingerprint. What is not UTF-8 is not the id of a job.
        """
        for unlisted in self._pages(_entries, self.redis.dbsize()):
            ids = [job_id for job_id in unlisted if is_utf8(job_id)]
            if mend and ids:
                with self.redis.pipeline() as pipe:
                    for job_id in ids:
                        pipe.hsetnx(names.JOBS, job_id, "")
                    pipe.hdel(names.SOURCE, "etag", "last_modified")
                    pipe.execute()
            yield Differences(unlisted=len(ids))

    def _ticks(self, mend: bool) -> Iterator[Differences]:
        """Find open ticks without a deadline, which nobody would ever look after."""
        for untimed in self._pages(
            _ticks,
            self._size(names.OPEN),
            mend=mend,
            now=self.clock(),
            patience=PATIENCE,
            lease=LEASE,
            default_timeout=TIMEOUT,
        ):
            yield Differences(untimed=untimed)

    def _leftovers(self, mend: bool) -> Iterator[Differences]:
        """Find what belongs to ticks that have ended."""
        for key, by_job in _BELONGINGS.items():
            size = self._size(key)
            for left in self._pages(_leftovers, size, belongings=key, mend=mend, by_job=by_job):
                yield Differences(leftovers=left)

    def _size(self, key: str) -> int:
        return int(self.redis.hlen(key))

    def _pages(self, look: Script[Any], size: int, **values: Any) -> Iterator[Any]:
        """Call `look` with each cursor in turn. Yield what it finds on each page."""
        count = min(max(size // STEPS, LEAST), MOST)
        cursor = "0"
        while True:
            cursor, found = look(self.redis, cursor=cursor, count=count, **values)
            yield found
            if cursor == "0":
                return


def _due(definition: str, meta: str, since: float) -> float | None:
    """Return the first tick of an entry that beat has not come to; None if there is none.

    Raises whatever an entry that cannot be read leads to.
    """
    fields = orjson.loads(definition)
    schedule = entries.read_schedule(fields)
    entries.run_count(meta)
    due = next_fire_time(schedule, max(entries.last_run(meta) or 0.0, since))
    return due if fields["enabled"] else None
