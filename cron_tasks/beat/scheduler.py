"""The beat: `celery -A cron_tasks beat`, as many as you like; one leads, the others stand by.

This is the only module that knows RedBeat's insides (2.4): its Scheduler, its Entry, its codec and
the attribute in which it keeps its Redis client.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import structlog
from celery.beat import SchedulingError
from celery.schedules import BaseSchedule, schedstate
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat.decoder import RedBeatJSONDecoder
from redbeat.schedulers import REDBEAT_REDIS_KEY
from redis.exceptions import RedisError

from cron_tasks.beat.due import Batch, Page, Row, judge_page, read_page
from cron_tasks.beat.leadership import Leadership
from cron_tasks.beat.lookahead import Ahead
from cron_tasks.beat.pokes import Pokes
from cron_tasks.beat.publisher import Publisher
from cron_tasks.beat.sweeper import sweep
from cron_tasks.broker.presence import count_slots
from cron_tasks.celery import LEADER_TTL, settings, touch_alive_file
from cron_tasks.errors import CronTasksError
from cron_tasks.ledger.ledger import LEASE, Ledger, LockLost
from cron_tasks.registry.entries import SCHEDULE_TYPE
from cron_tasks.registry.quarantine import set_aside
from cron_tasks.repair.comparison import Comparison
from cron_tasks.schedules import Schedule, from_spec
from cron_tasks.store import names
from cron_tasks.store.client import connect, wrong_type

log = structlog.get_logger("cron_tasks.beat")

#: Longest wait in seconds; a leader looks after lock, registry and overdue ticks this often.
LONGEST_WAIT = 2.0
#: How often a beat that stands by tries to lead.
STANDBY_WAIT = 0.5
#: Redis' own timeout is coarse (3 to 75 ms late), so the last bit is slept.
COARSE = 0.1
#: Seconds between two requests for a sync while the registry is missing.
REBUILD_EVERY = 5.0
#: What Redis and the broker raise when they are away, full or read-only: to be waited out.
TROUBLE = (RedisError, OperationalError, BatchPublishError, OSError)
#: A clock that moved this many seconds against the monotonic one was stepped.
STEP = 2.0


def _away(error: BaseException) -> bool:
    """Whether the server is at fault; a key of another type than RedBeat's is a broken entry."""
    return isinstance(error, TROUBLE) and not wrong_type(error)


class JobSchedule(BaseSchedule):
    """A job's schedule as Celery and RedBeat see it."""

    def __init__(self, schedule: Schedule, app: Any = None) -> None:
        super().__init__(app=app)
        self.schedule = schedule

    def remaining_estimate(self, last_run_at: datetime) -> Any:
        upcoming = self.schedule.after(last_run_at)
        return None if upcoming is None else upcoming - datetime.now(UTC)

    def is_due(self, last_run_at: datetime) -> schedstate:
        remaining = self.remaining_estimate(last_run_at)
        if remaining is None:
            return schedstate(False, LONGEST_WAIT)
        return schedstate(remaining.total_seconds() <= 0, max(remaining.total_seconds(), 0.0))

    def __repr__(self) -> str:
        return f"<{self.schedule.describe()}>"


class _Decoder(RedBeatJSONDecoder):  # type: ignore[misc]
    def dict_to_object(self, d: dict[str, Any]) -> Any:
        if d.get("__type__") != SCHEDULE_TYPE:
            return super().dict_to_object(d)
        return JobSchedule(from_spec({key: d[key] for key in d if key != "__type__"}))


class Entry(RedBeatSchedulerEntry):  # type: ignore[misc]
    """A RedBeat entry whose schedule may be a job's; read-only there, since REST rules jobs."""

    @staticmethod
    def decode_definition(definition: str) -> Any:
        return _Decoder().decode(definition)

    @property
    def due_at(self) -> datetime | None:
        if isinstance(self.schedule, JobSchedule) and self.last_run_at is not None:
            return self.schedule.schedule.after(self.last_run_at)
        due_at: datetime | None = super().due_at
        return due_at

    def save(self) -> "Entry":
        if isinstance(self.schedule, JobSchedule):
            raise CronTasksError(f"{self.name} belongs to the REST service: change it there")
        super().save()
        return self


class Scheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat's scheduler with a tick that loses and doubles nothing (ledger.py)."""

    Entry = Entry
    #: The wall clock, in seconds since the epoch; Redis scores are its times.
    clock: Callable[[], float] = staticmethod(time.time)

    def __init__(self, app: Any, **kwargs: Any) -> None:
        url = settings.redis_url.get_secret_value()
        self.redis = connect(url)
        self._pokes = Pokes(url, lambda: self._publisher.sync())
        setattr(app, REDBEAT_REDIS_KEY, self.redis)
        super().__init__(app, **kwargs)
        # Without a key RedBeat's own start-up hook, which blocks until it leads, stays out of it.
        self.lock_key = None
        self.leadership = Leadership(self.redis, LEADER_TTL)
        self.ledger = Ledger(self.redis, settings)
        self._ahead = Ahead()
        self._state = "starting"
        self._clock_offset = self.clock() - time.monotonic()
        self._sweep_after = 0.0
        self._rebuild_at = self._compare_at = 0.0
        self._comparison = Comparison(self.redis, settings, lambda: self.clock())

    def setup_schedule(self) -> None:
        """Left to the beat that leads, and to a time when Redis answers."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Lead or stand by for a moment; the seconds to sleep before the next call.

        Whatever Redis or the broker does, beat waits for it and goes on.
        """
        try:
            leading = self.leadership.hold()
            touch_alive_file()
            if leading:
                return self._lead()
            self._enter("standing_by")
        except LockLost:
            self.leadership.lost()
        except TROUBLE as error:
            self._enter("waiting", error=str(error))
            self._forget_connections()
        return STANDBY_WAIT

    def close(self) -> None:
        self.leadership.release()
        super().close()
        self._pokes.close()

    def _lead(self) -> float:
        if self._state != "leading":
            self._set_up()
            self._enter("leading")
        if self._ahead.token != self.leadership.token:
            self._ahead = Ahead(self.leadership.token)
        now = self.clock()
        page = self._fire_due(now)
        if not page.whole:
            self._rebuild()
        self._compare()
        if not self._sweep(now) and not self._make_ready(page.next_due):
            self._wait(min(page.next_due, page.next_deadline))
        return 0.0

    def _set_up(self) -> None:
        """Write the sync's own entry, anew where it cannot be read, and ask for a sync."""
        try:
            super().setup_schedule()
        except Exception as error:
            if _away(error):
                raise
            self.redis.delete(names.SYNC_ENTRY)
            super().setup_schedule()
        self._pokes.sync()

    def _sweep(self, now: float) -> bool:
        """Look after overdue ticks; whether there may be more.

        A clock that was stepped makes leases look run out: their holders first get the time to
        renew them.
        """
        offset = now - time.monotonic()
        if abs(offset - self._clock_offset) > STEP:
            log.warning("clock.stepped", seconds=round(offset - self._clock_offset, 1))
            self._sweep_after = time.monotonic() + LEASE
        self._clock_offset = offset
        if time.monotonic() < self._sweep_after:
            return False
        publisher = self._publisher
        ways = publisher.waiting, publisher.ticks, publisher.revoke
        return sweep(self.ledger, now, settings, *ways)

    def _compare(self) -> None:
        """Compare a page of what Redis holds with itself, from time to time."""
        if time.monotonic() < self._compare_at:
            return
        self._compare_at = time.monotonic() + LONGEST_WAIT
        self._pokes.ask_again()
        if self._comparison.step().needs_sync:
            self._poke()

    def _poke(self) -> None:
        """Have the list read again, as a service would that changed it."""
        self.redis.lpush(names.POKE, "*")

    def _fire_due(self, now: float) -> Page:
        """Fire all that is due; the last page that was read, an empty one."""
        for batch in self._ahead.take(now):
            self._advance(batch, now)
        while True:
            page = read_page(self.redis, now)
            if not page.rows:
                return page
            batch = judge_page(page, now, settings, self._keep_lead)
            for row in batch.foreign:
                self._fire_foreign(row, now)
            for row, error in batch.broken:
                self._set_aside(row, error)
            self._advance(batch, now)

    def _advance(self, batch: Batch, now: float) -> None:
        if batch.advances:
            token = self.leadership.token or ""
            opened = self.ledger.advance(token, now, batch.advances, batch.edits)
            self._publisher.ticks([batch.ticks[run_id] for run_id in opened])
        self._keep_lead()

    def _keep_lead(self) -> None:
        if not self.leadership.hold():
            raise LockLost

    def _make_ready(self, due: float) -> bool:
        """Judge a page of what is due next, if there is time for it; whether there was."""
        if not self._ahead.wants(due, self.clock()):
            return False
        page = read_page(self.redis, due, self._ahead.last)
        self._ahead.add(page, judge_page(page, due, settings, self._keep_lead))
        return True

    def _fire_foreign(self, row: Row, now: float) -> None:
        try:
            self._fire_stock(row, now)
        except Exception as error:
            # Celery wraps whatever went wrong when it publishes.
            cause = (isinstance(error, SchedulingError) and error.__context__) or error
            if _away(cause):
                raise cause from None
            self._set_aside(row, cause)

    def _fire_stock(self, row: Row, now: float) -> None:
        """An operator's own entry fires as with stock RedBeat, but cannot keep beat spinning."""
        entry = self.Entry.from_key(row.key, app=self.app)
        if entry.key != row.key:
            raise ValueError(f"its definition is that of {entry.key}")
        is_due, pause = entry.is_due()
        if is_due:
            self.apply_async(entry, producer=self.producer)
        score = self.redis.zscore(names.SCHEDULE, row.key)
        if score is not None and 0 <= score <= now:
            later = now + max(0.0 if is_due else float(pause or 0), 0.1)
            self.redis.zadd(names.SCHEDULE, {row.key: later}, xx=True)

    def _set_aside(self, row: Row, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        log.error("entry.set_aside", entry=row.key, reason=reason)
        if row.key == names.SYNC_ENTRY:
            # No sync would come to mend it.
            self.redis.delete(names.SYNC_ENTRY)
            self._set_up()
        else:
            set_aside(self.redis, row.key, reason, self.ledger.audited)
            if row.job_id is not None:
                self._poke()

    def _rebuild(self) -> None:
        """The registry is gone, or never was: have it built from the REST service."""
        if time.monotonic() < self._rebuild_at:
            return
        self._rebuild_at = time.monotonic() + REBUILD_EVERY
        log.info("registry.missing", hint="asking for a sync")
        self._set_up()

    def _wait(self, upcoming: float) -> None:
        """Sleep until the next tick, an edit or a poke, and at most LONGEST_WAIT."""
        until = min(upcoming, self.clock() + LONGEST_WAIT)
        if (pause := until - self.clock()) > COARSE:
            if self._pokes.wait(pause - COARSE):
                return
        else:
            # Where ticks are always this close together, beat would never wait for a poke.
            self._pokes.look()
        if (pause := until - self.clock()) > 0:
            time.sleep(min(pause, 2 * COARSE))

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self.app, self.producer, lambda: count_slots(self.redis, self.clock()))

    def _enter(self, state: str, **why: Any) -> None:
        """Say a change of state, once."""
        if state != self._state:
            was, self._state = self._state, state
            write = log.error if state == "waiting" else log.info
            write(f"beat.{state}", was=was, **why)

    def _forget_connections(self) -> None:
        """A producer that failed may be half-way through a batch; the next one starts clean."""
        for made in ("_publisher", "producer"):
            self.__dict__.pop(made, None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            connection.release()
