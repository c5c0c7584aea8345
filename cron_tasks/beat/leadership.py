"""The lock that decides which beat leads.

    standing by ──lock free──▶ leading ──lock gone, or taken──▶ standing by
                                  └──SIGTERM: lock released──▶ gone

The lock is RedBeat's own key, so a stock beat on the same Redis stands by too. It is short and
extended often. Each script by which a leader acts checks the token of the lock.
"""

import time

import structlog
from redis import Redis
from redis.exceptions import LockError, RedisError, ResponseError

from cron_tasks.repair.foreign import free_lock
from cron_tasks.store import keys
from cron_tasks.store.client import is_wrong_type

log = structlog.get_logger("cron_tasks.beat")


class Leadership:
    """The leader's lock, held for `ttl` seconds after the last sign of life."""

    def __init__(self, redis: Redis, ttl: float) -> None:
        self._redis = redis
        self._ttl = ttl
        self._lock = redis.lock(keys.LEADER_LOCK, timeout=ttl, thread_local=False)
        self._extended = 0.0

    @property
    def token(self) -> str | None:
        """The value of the lock while this beat leads, otherwise None."""
        token = self._lock.local.token
        return token.decode() if isinstance(token, bytes) else token

    def hold(self, early: bool = False) -> bool:
        """Extend the lock when it is time, or try to get it. Return whether this beat now leads.

        Call it with `early` when nothing is due, so that no extension delays the next tick.
        """
        now = time.monotonic()
        if self.token is not None:
            if now - self._extended < self._ttl / (6 if early else 2):
                return True
            try:
                self._lock.extend(self._ttl, replace_ttl=True)
            except LockError:
                self.note_lost()
            except ResponseError as error:
                if not is_wrong_type(error):
                    raise
                self.note_lost()
            else:
                self._extended = now
                return True
        if self._lock.acquire(blocking=False):
            self._extended = now
            return True
        # A lock that would never end belongs to nobody. Nobody would lead any more.
        free_lock(self._redis, keys.LEADER_LOCK)
        return False

    def note_lost(self) -> None:
        """Stop leading, because another beat may lead by now."""
        log.warning("beat.lost_lead")
        self._lock.local.token = None

    def release(self) -> None:
        """Release the lock, so that the next beat leads at once. Do nothing if this beat does not
        lead."""
        if self.token is None:
            return
        try:
            self._lock.release()
        except RedisError as error:
            log.warning("beat.lock_not_released", error=str(error))
        finally:
            self._lock.local.token = None
