"""Follow the feed of changes, so that an edit applies at once. Only one process follows.

The process that syncs beside a worker's pool follows in a thread, because it writes like a sync. A
lease decides which process follows. A process that has died, hangs or is frozen loses the lease.

Writing rows one after the other could bring back an older row. So if something else was written
since the request, such as a list or a poke, the feed is first read to its end. Then only the last
entry for each id is written.
"""

import random
import time
from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.errors import SourceError
from cron_tasks.rest.client import strip_credentials
from cron_tasks.rest.feed import Change, Feed, FeedAnswer, FeedCut, FeedGone
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.leases import keep_calling, take_or_extend
from cron_tasks.sync.feed_changes import FeedChanges, write_changes
from cron_tasks.sync.feed_state import (
    WAIT,
    FeedStatus,
    Position,
    forget_position,
    load_position,
    load_status,
    store_status,
)
from cron_tasks.sync.owner import service_of
from cron_tasks.sync.reconciler import Reconciler

log = structlog.get_logger("cron_tasks.sync")

#: Seconds between two checks whether there is a feed to follow.
LOOK_EVERY = 1.0
#: Seconds after which another process follows in place of one that died.
LEASE_TTL = 6.0
#: Seconds between two attempts to get the lock of the sync.
LOCK_EVERY = 0.02
#: The most changes that are kept in memory, and the most answers that are read at once. Beyond
#: that, the list is read.
MOST_CHANGES, MOST_ANSWERS = 10_000, 1_000
#: How often reading continues because something else was written, before the changes are written
#: anyway.
MOST_READINGS = 3
#: An answer within this many seconds did not wait. If it has no changes, the next request waits.
EARLY = 1.0
#: The longest of these pauses, and the longest after failures, in seconds.
LONGEST_PAUSE, LONGEST_BACKOFF = 5.0, 30.0
#: A request that lasted this many seconds before it failed was cut by a proxy, and not refused.
CUT_AFTER = 5.0
#: Seconds without an answer after which this is logged.
SILENT_AFTER = 90.0


def keep_following(follower: "Follower") -> None:
    """Follow for as long as this process lives."""
    is_away = False
    while True:
        pause = LOOK_EVERY
        try:
            pause = follower.step()
            is_away = False
        except RedisError as error:
            if not is_away:
                log.warning("feed.waiting", error=str(error))
            is_away = True
            follower.forget()
        except Exception:
            log.exception("feed.raised")
            follower.forget()
        time.sleep(pause)


class Follower:
    """Follows the feed of one service for one Redis, as long as it has the lease."""

    def __init__(self, redis: Redis, settings: Settings, clock: Callable[[], float]) -> None:
        self._redis, self._settings, self._clock = redis, settings, clock
        self._reconciler = Reconciler(redis, settings)
        self._lock = redis.lock(keys.FEED_LOCK, timeout=LEASE_TTL, thread_local=False)
        self._feed: Feed | None = None
        self._status = FeedStatus()
        self._is_following = False
        self._failures = self._times_gone = 0
        self.forget()

    def forget(self) -> None:
        """Forget changes that were read and not written. They are requested again."""
        self._start = self._at = ""
        self._pending: dict[str, Change] = {}
        self._needs_list = self._is_current = False
        self._edits: str | None = None
        self._answers = self._readings = 0
        self._pause = 0.0

    def step(self) -> float:
        """Send one request, and write the changes. Return the seconds to pause."""
        position = load_position(self._redis)
        if not position.address or position.owner != service_of(self._settings):
            self._stop_following()
            return LOOK_EVERY
        if not take_or_extend(self._lock):
            self.forget()
            return LOOK_EVERY
        with keep_calling(self._lock.reacquire, LEASE_TTL / 3):
            return self._follow(position)

    def _follow(self, position: Position) -> float:
        if position.address != self._start:
            self._begin(position)
        wait = WAIT if self._is_current else 0.0
        try:
            answer = self._ask(wait)
        except FeedGone:
            return self._read_list_again()
        except FeedCut as error:
            return self._back_off(error)
        except SourceError as error:
            return self._wait_for_mending(str(error))
        self._note_answer()
        self._add(answer)
        if not self._is_current and answer.changes and answer.address != answer.asked:
            if self._answers < MOST_ANSWERS:
                return 0.0
            self._needs_list = True
            self._pending.clear()
        self._is_current = True
        return self._pace(answer, wait, self._write())

    def _begin(self, position: Position) -> None:
        """Begin at the position that the list, or the previous process, has stored."""
        self.forget()
        self._start = self._at = position.address
        self._edits = position.edits
        self._status = load_status(self._redis)
        if not self._is_following:
            log.info("feed.followed", address=strip_credentials(position.address))
        self._is_following = True

    def _stop_following(self) -> None:
        if self._is_following:
            log.info("feed.left", hint="the list no longer names a feed")
        self._is_following = False
        self.forget()

    def _ask(self, wait: float) -> FeedAnswer:
        if self._feed is None:
            self._feed = Feed(self._settings)
        return self._feed.ask(self._at, wait)

    def _add(self, answer: FeedAnswer) -> None:
        self._answers += 1
        self._at = answer.address
        self._needs_list |= not answer.names_all
        for job_id, change in answer.changes.items():
            self._pending.pop(job_id, None)
            self._pending[job_id] = change
        if len(self._pending) > MOST_CHANGES:
            self._needs_list = True
            self._pending.clear()

    def _write(self) -> bool:
        """Write the pending changes. Return whether anything has changed."""
        if not self._pending and not self._needs_list and self._at == self._start:
            return False
        may_read_on = self._readings < MOST_READINGS
        changes = FeedChanges(
            self._start, self._at, self._pending, self._edits, self._needs_list, may_read_on
        )
        while True:
            outcome, edits = write_changes(self._reconciler, changes, self._clock)
            if outcome != "busy":
                break
            time.sleep(LOCK_EVERY)
        if outcome == "void":
            self.forget()
            return True
        if outcome == "behind":
            self._edits, self._is_current = edits, False
            self._answers, self._readings = 0, self._readings + 1
            return True
        self._start, self._edits = self._at, edits
        self._pending, self._needs_list, self._readings = {}, False, 0
        return outcome == "changed"

    def _pace(self, answer: FeedAnswer, wait: float, has_changed: bool) -> float:
        """Return the pause after an answer. A service may ignore `wait`, or repeat itself."""
        if has_changed or not wait or answer.took >= EARLY:
            self._pause = 0.0
        else:
            shortest = 0.05 if answer.address != answer.asked else 1.0
            self._pause = min(max(shortest, 2 * self._pause), LONGEST_PAUSE)
        return self._pause

    def _note_answer(self) -> None:
        if self._status.error:
            log.info("feed.recovered", was=self._status.error)
        self._failures = self._times_gone = 0
        self._note(FeedStatus(self._clock()))

    def _note(self, status: FeedStatus) -> None:
        self._status = status
        store_status(self._redis, status)

    def _read_list_again(self) -> float:
        """Have the list read, because it names a new cursor. Do so at once, unless that did not
        help before."""
        self._times_gone += 1
        is_forgotten = forget_position(self._redis, self._start)
        if is_forgotten and self._times_gone == 1:
            log.info("feed.cursor_gone", hint="the list is read again")
            self._redis.lpush(keys.POKE, "*")
        self.forget()
        return LOOK_EVERY

    def _back_off(self, cut: FeedCut) -> float:
        """Return the pause after a request without an answer. A proxy that cuts requests is not a
        fault."""
        silent_for = self._clock() - (self._status.answered or self._clock())
        if cut.took >= CUT_AFTER:
            self._failures = 0
        else:
            self._failures += 1
        is_silent = silent_for > SILENT_AFTER or self._failures > 5
        if is_silent and not self._status.error:
            log.warning("feed.not_answering", detail=str(cut))
            self._note(FeedStatus(self._status.answered, str(cut)))
        longest = min(0.2 * 2 ** min(self._failures, 10), LONGEST_BACKOFF)
        asked = min(cut.retry_after or 0.0, LONGEST_BACKOFF)
        return max(asked, random.uniform(longest / 2, longest))

    def _wait_for_mending(self, detail: str) -> float:
        """Return the pause after an answer that is not valid. Log each fault once."""
        self._failures += 1
        if detail != self._status.error:
            hint = "edits count with the next read of the list"
            log.warning("feed.failing", detail=detail, hint=hint)
        self._note(FeedStatus(self._status.answered, detail))
        return float(min(2.0 ** min(self._failures, 10), LONGEST_BACKOFF))
