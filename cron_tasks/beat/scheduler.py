"""The loop of beat: `celery -A cron_tasks beat`. One beat leads, and any number stand by."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

import structlog
from redis.exceptions import RedisError

from cron_tasks.beat.beside import start_threads
from cron_tasks.beat.clock import ClockWatch
from cron_tasks.beat.due import Judged, Page, judge_page, read_page
from cron_tasks.beat.files import EVERY as FILES_EVERY
from cron_tasks.beat.files import FileWatch
from cron_tasks.beat.known import KnownJobs
from cron_tasks.beat.late import tell_late_runs
from cron_tasks.beat.leadership import Leadership
from cron_tasks.beat.lookahead import Lookahead
from cron_tasks.beat.pokes import Pokes
from cron_tasks.beat.publisher import Publisher
from cron_tasks.beat.redbeat import EntryScheduler
from cron_tasks.beat.rows import Row
from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.beat.trouble import TROUBLE, is_trouble
from cron_tasks.broker.presence import count_slots
from cron_tasks.celery import LEADER_TTL, settings, touch_alive_file
from cron_tasks.ledger.alarms import Alarms
from cron_tasks.ledger.ledger import LEASE, Ledger, LockLost
from cron_tasks.metrics.queues import note_run_queue
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.repair.comparison import Comparison
from cron_tasks.repair.foreign import find_foreign
from cron_tasks.rest.files import path_of
from cron_tasks.runs.prepared import write_prepared
from cron_tasks.store import keys
from cron_tasks.store.client import connect, is_wrong_type
from cron_tasks.store.paging import pages
from cron_tasks.vitals.leaders import note_leader
from cron_tasks.vitals.signs import BeatSigns

log = structlog.get_logger("cron_tasks.beat")

#: The longest wait in seconds. A leader checks lock, registry and overdue ticks this often.
LONGEST_WAIT = 2.0
#: Seconds between two attempts of a standby beat to lead.
STANDBY_WAIT = 0.5
#: Seconds before a tick in which beat sleeps itself, because the timeout of Redis is coarse (3 to
#: 75 ms late).
COARSE = 0.1
#: Seconds between two requests for a sync while the registry is missing.
REBUILD_EVERY = 5.0


class Scheduler(EntryScheduler):
    """RedBeat's scheduler with our own loop, which loses no tick and doubles none."""

    #: The wall clock, in seconds since the epoch. The scores in Redis are its times.
    clock: Callable[[], float] = staticmethod(time.time)

    def __init__(self, app: Any, **kwargs: Any) -> None:
        url = settings.redis_url.get_secret_value()
        super().__init__(app, connect(url), **kwargs)
        self._pokes = Pokes(url, lambda: self._publisher.request_sync())
        self.leadership = Leadership(self.redis, LEADER_TTL)
        self.ledger = Ledger(self.redis, settings)
        self._alarms = Alarms(self.redis, settings)
        self._signs = BeatSigns(self.redis, lambda: self.clock())
        leads = lambda: self.leadership.token is not None  # noqa: E731
        self._beside = start_threads(settings, leads, lambda: self.clock())
        self._lookahead = Lookahead()
        self._known = KnownJobs(settings)
        self._state = "starting"
        self._clock_watch = ClockWatch(self.clock())
        self._rebuild_at = self._compare_at = self._spares_until = 0.0
        self._comparison = Comparison(self.redis, settings, lambda: self.clock())
        path = path_of(settings)
        self._files = FileWatch(path) if path else None
        self._longest_wait = min(LONGEST_WAIT, FILES_EVERY) if path else LONGEST_WAIT

    def tick(self, *_: Any, **__: Any) -> float:
        """Lead or stand by for a moment. Return the seconds to sleep before the next call.

        If Redis or the broker fails in any way, beat waits for it and continues.
        """
        try:
            is_leading = self._hold_lead()
            touch_alive_file()
            if is_leading:
                return self._lead()
            self._enter("standing_by")
        except LockLost:
            self.leadership.note_lost()
        except TROUBLE as error:
            # The next turn requests a sync: a key that was deleted may have been a list of pokes.
            self._enter("waiting", error=str(error))
            self._spares_until = time.monotonic() + LEASE
            if not self._mend_foreign_keys(error):
                self.forget_connections()
        return STANDBY_WAIT

    def _mend_foreign_keys(self, error: BaseException) -> bool:
        """Delete keys of ours that hold another type. Return whether that may end this trouble."""
        with suppress(RedisError):
            return is_wrong_type(error) and bool(find_foreign(self.redis, self.clock(), mend=True))
        return False

    def close(self) -> None:
        for thread in self._beside:
            thread.end()
        self.leadership.release()
        with suppress(RedisError):
            self._signs.withdraw()
        super().close()
        self._pokes.close()

    def forget_connections(self) -> None:
        self.__dict__.pop("_publisher", None)  # It holds the producer.
        super().forget_connections()

    def _lead(self) -> float:
        if self._state != "leading":
            self._set_up()
            self._enter("leading")
        if self._lookahead.token != self.leadership.token:
            self._lookahead = Lookahead(self.leadership.token)
            note_leader(self.redis, self.clock())
            self._known = KnownJobs(settings)
        now = self.clock()
        page = self._fire_due(now)
        if not page.is_complete:
            self._rebuild(page.is_sync_coming)
        self._compare()
        if self._files and self._files.has_changed():
            self._poke()
        is_more_late = page.has_late and tell_late_runs(self._alarms, now, settings)
        is_more_overdue = self._sweep(now, page.has_overdue)
        if not is_more_late and not is_more_overdue and not self._judge_ahead(page.next_due):
            self._wait(min(page.next_due, page.next_deadline))
        return 0.0

    def _set_up(self) -> None:
        """Write the sync's own entry, and ask for a sync."""
        if not self.redis.exists(keys.GENERATION):
            log.info("registry.missing", hint="asking for a sync")
        self._write_own_entry()
        self._pokes.request_sync()

    def _write_own_entry(self) -> None:
        """Write the sync's own entry. Replace it if it cannot be read."""
        try:
            self.write_configured_entries()
        except Exception as error:
            if is_trouble(error):
                raise
            self.redis.delete(keys.SYNC_ENTRY)
            self.write_configured_entries()

    def _sweep(self, now: float, has_overdue: bool) -> bool:
        """Handle overdue runs, if there are any. Return whether there may be more.

        After the clock was stepped or Redis was away, holders of leases first get time to renew.
        """
        if not self._clock_watch.is_trusted(now) or not has_overdue:
            return False
        publisher, spares_leases = self._publisher, time.monotonic() < self._spares_until
        ways = publisher.count_waiting, publisher.send_ticks, publisher.revoke
        return sweep_overdue(self.ledger, now, settings, *ways, spares_leases)

    def _compare(self) -> None:
        """Compare a page of the keys in Redis with one another, from time to time."""
        if time.monotonic() < self._compare_at:
            return
        self._compare_at = time.monotonic() + LONGEST_WAIT
        self._pokes.request_again()
        if self._comparison.step().needs_sync:
            self._poke()

    def _poke(self) -> None:
        """Have the list read again, like a service whose list has changed."""
        self.redis.lpush(keys.POKE, "*")

    def _fire_due(self, now: float) -> Page:
        """Fire everything that is due. Return the last page that was read, which is empty."""
        for judged in self._lookahead.take(now):
            self._advance(judged, now)
        while True:
            page = read_page(self.redis, now, known=self._known)
            if not page.size:
                return page
            judged = judge_page(page, now, settings, self._keep_lead)
            for row in judged.foreign:
                self._fire_foreign(row, now)
            for row, error in judged.broken:
                self._quarantine(row, error)
            self._advance(judged, now)

    def _advance(self, judged: Judged, now: float) -> None:
        token = self.leadership.token or ""
        for page in pages(judged.advances):
            opened = self.ledger.advance(token, now, page, judged.edits)
            self._publisher.send_ticks([judged.ticks[run_id] for run_id in opened])
            self._keep_lead()
        for departure in judged.departures:
            for part in self._publisher.split(departure):
                batch_id = part.make_id()
                prepared = write_prepared(part.templates, settings.chat_id)
                left = self.ledger.advance_batch(token, now, batch_id, part, judged.edits, prepared)
                # Their entries have changed.
                self._known.forget(left)
                if len(left) < part.size:
                    self._publisher.send_batch(batch_id, part.options)
                self._keep_lead()

    def _keep_lead(self, early: bool = False) -> None:
        if not self._hold_lead(early):
            raise LockLost

    def _hold_lead(self, early: bool = False) -> bool:
        """Return whether this beat leads, and show that its loop works.

        With `early` it also does the work that would otherwise be needed when the next tick is due.
        """
        is_leading = self.leadership.hold(early)
        self._signs.give(is_leading, early or not is_leading)
        return is_leading

    def _judge_ahead(self, due: float) -> bool:
        """Judge a page of the next ticks, if there is time for it. Return whether more follow."""
        if not self._lookahead.prepare(due, self.clock()):
            return False
        page = read_page(self.redis, due, self._lookahead.last, self._known)
        self._lookahead.add(page, judge_page(page, due, settings, self._keep_lead))
        return not self._lookahead.is_complete

    def _fire_foreign(self, row: Row, now: float) -> None:
        try:
            self.fire_operators_entry(row.key, now)
        except Exception as error:
            if is_trouble(error):
                raise
            self._quarantine(row, error)

    def _quarantine(self, row: Row, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        log.error("entry.set_aside", entry=row.key, reason=reason)
        if row.key == keys.SYNC_ENTRY:
            # No sync would come to write it again.
            self.redis.delete(keys.SYNC_ENTRY)
            self._set_up()
        else:
            quarantine_entry(self.redis, row.key, reason, self.ledger.audited)
            if row.job_id is not None:
                self._poke()

    def _rebuild(self, is_sync_coming: bool) -> None:
        """Have the registry built from the REST service, because it is missing."""
        if time.monotonic() < self._rebuild_at:
            return
        self._rebuild_at = time.monotonic() + REBUILD_EVERY
        if is_sync_coming:
            self._write_own_entry()
        else:
            self._set_up()

    def _wait(self, upcoming: float) -> None:
        """Sleep until the next tick, an edit or a poke, and at most LONGEST_WAIT.

        If the jobs are in files, check these once a second.
        """
        until = min(upcoming, self.clock() + self._longest_wait)
        if (pause := until - self.clock()) > COARSE:
            if self._pokes.wait(pause - COARSE):
                return
            # Do it now, so that no round trip for them delays the next tick.
            self._keep_lead(early=True)
            if until == upcoming:
                self._publisher.look_at(self._lookahead.queues)
        else:
            # If ticks are always this close together, beat would never wait for a poke.
            self._pokes.check()
        if (pause := until - self.clock()) > 0:
            time.sleep(min(pause, 2 * COARSE))

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(
            self.app,
            self.producer,
            lambda: count_slots(self.redis, self.clock()),
            lambda queue: note_run_queue(self.redis, queue),
        )

    def _enter(self, state: str, **why: Any) -> None:
        """Log a change of state, once."""
        if state != self._state:
            was, self._state = self._state, state
            write = log.error if state == "waiting" else log.info
            write(f"beat.{state}", was=was, **why)
