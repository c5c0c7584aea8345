"""Kills processes of a worker's pool whose run does not end. It runs in the main process.

A process asks its own action to end (interrupts.py). That fails if the action holds Python's global
lock, hangs in C or catches every exception. Then the main process kills the process. Until the
process is dead, its run keeps its lease, so no other worker begins that run or one that must not
overlap it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from celery.signals import worker_init
from redis.exceptions import RedisError

from cron_tasks.ledger.ledger import LEASE
from cron_tasks.store.leases import LOOK_EVERY
from cron_tasks.worker.conclusions import Concluder
from cron_tasks.worker.inflight import Board, Posted, is_alive, share_board
from cron_tasks.worker.interrupts import HARD
from cron_tasks.worker.performing import end_of_stop

log = structlog.get_logger("cron_tasks.runs")

#: Seconds within which a killed process is dead, unless it hangs in the kernel.
DIES_WITHIN = 1.0


class Watchdog:
    """Watches the runs that the processes of one pool have posted."""

    def __init__(self, board: Board, concluder: Concluder) -> None:
        self.board = board
        self.concluder = concluder
        self._unwanted: dict[tuple[str, str], Posted] = {}
        self._killed: dict[int, Posted] = {}

    def watch(self) -> None:
        """Check every second, for as long as this process lives."""
        while True:
            time.sleep(LOOK_EVERY)
            try:
                self.look(time.monotonic())
            except RedisError as error:
                log.warning("lease.not_renewed", error=str(error))
            except Exception:
                # Nothing else would end a run that hangs.
                log.exception("watchdog.failed")

    def look(self, now: float) -> None:
        """Kill processes after their deadline, renew leases, and conclude the runs of killed
        processes.

        Killing comes first, because it does not need Redis. Raises RedisError. The next check tries
        again.
        """
        going = list(self._going())
        for posted in going:
            if now > posted.deadline:
                self._kill(posted)
        for posted in going:
            if now > posted.renewed + LEASE / 3 and is_alive(posted.pid):
                self._renew(posted, now)
        for pid, posted in list(self._killed.items()):
            if not is_alive(pid):
                self.concluder.conclude_killed(posted)
                del self._killed[pid]

    def _going(self) -> list[Posted]:
        """Return the runs whose processes live, each with its current deadline."""
        going = []
        for index, posted in self.board.read():
            if is_alive(posted.pid):
                key = (posted.holder, posted.run_id)
                going.append(self._unwanted.get(key, posted))
            else:
                self.board.clear(index)
        keys = {(posted.holder, posted.run_id) for posted in going}
        self._unwanted = {key: self._unwanted[key] for key in self._unwanted.keys() & keys}
        return going

    def _kill(self, posted: Posted) -> None:
        if posted.pid in self._killed:
            return
        self._killed[posted.pid] = posted
        log.error("run.killed", run_id=posted.run_id, pid=posted.pid)
        with suppress(ProcessLookupError):
            os.kill(posted.pid, signal.SIGKILL)
        give_up = time.monotonic() + DIES_WITHIN
        while is_alive(posted.pid):
            if time.monotonic() > give_up:
                hint = "its process hangs in the kernel; the run stays open until that is gone"
                log.error("run.not_dead", run_id=posted.run_id, pid=posted.pid, hint=hint)
                return
            time.sleep(0.01)

    def _renew(self, posted: Posted, now: float) -> None:
        """Renew a lease for a process whose own thread is blocked."""
        why = self.concluder.renew(posted)
        key = (posted.holder, posted.run_id)
        if why and key not in self._unwanted:
            until = min(posted.deadline, now + HARD)
            self._unwanted[key] = replace(posted, deadline=until, result=end_of_stop(why))


def install_watchdog(concluder: Callable[[], Concluder]) -> None:
    """Watch the processes of this process's pool, if it becomes a Celery worker."""

    def start(**_: Any) -> None:
        watchdog = Watchdog(share_board(), concluder())
        threading.Thread(target=watchdog.watch, name="watchdog", daemon=True).start()

    worker_init.connect(start, weak=False)
