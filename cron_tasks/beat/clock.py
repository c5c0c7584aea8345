"""Notices steps of the machine's clock, after which leases look expired."""

import time

import structlog

from cron_tasks.ledger.ledger import LEASE

log = structlog.get_logger("cron_tasks.beat")

#: A clock that moved by this many seconds against the monotonic one was stepped.
STEP = 2.0


class ClockWatch:
    """Compares the clock, `now` in seconds since the epoch, with the monotonic one."""

    def __init__(self, now: float) -> None:
        self._offset = now - time.monotonic()
        self._trusted_after = 0.0

    def is_trusted(self, now: float) -> bool:
        """Return whether the holders of leases have had the time to renew them since the last
        step."""
        offset = now - time.monotonic()
        if abs(offset - self._offset) > STEP:
            log.warning("clock.stepped", seconds=round(offset - self._offset, 1))
            self._trusted_after = time.monotonic() + LEASE
        self._offset = offset
        return time.monotonic() >= self._trusted_after
