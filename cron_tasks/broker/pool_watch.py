"""Notice that the pool of a worker takes no messages although it has free slots.

The main process of a worker goes on to give Celery's heartbeats while the processes of its pool
hang. Messages that it has handed to such a process wait there, and no run begins.
"""

from collections.abc import Collection

import structlog

from cron_tasks.vitals.signs import FRESH

log = structlog.get_logger("cron_tasks.worker")


class PoolWatch:
    """Looks at the messages that a worker has taken from the broker, again and again."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._is_stuck = False

    def is_stuck(
        self, taken: Collection[str], begun: Collection[str], slots: int, now: float
    ) -> bool:
        """Return whether a message has waited for FRESH seconds while slots were free.

        `taken` are the ids of the messages that have not ended, and `begun` of those that a slot
        performs. `now` is in seconds of any clock. Logs a change.
        """
        waiting = set(taken) - set(begun) if len(begun) < slots else set()
        self._since = {each: self._since.get(each, now) for each in waiting}
        is_stuck = any(now - since > FRESH for since in self._since.values())
        if is_stuck and not self._is_stuck:
            hint = "a process of the pool hangs: `cron-tasks health worker` names the worker"
            log.error("worker.stuck", waiting=len(waiting), hint=hint)
        self._is_stuck = is_stuck
        return is_stuck
