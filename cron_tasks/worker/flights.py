"""Runs whose action is a coroutine: thousands of them wait on one event loop.

The thread that claims runs launches them here and takes the next message. A second thread of this
process finishes the runs that have ended, many in one step. Each second it also renews leases, and
asks actions to end whose runs were cancelled. A third thread asks actions to end that have timed
out, and handles those that do not end. It does not wait for Redis.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from redis.exceptions import RedisError

from cron_tasks.ledger.ledger import LEASE, Ledger
from cron_tasks.runs.result import Result
from cron_tasks.settings import Settings
from cron_tasks.store.leases import LOOK_EVERY
from cron_tasks.store.paging import pages
from cron_tasks.telemetry.logs import bind
from cron_tasks.worker import performing
from cron_tasks.worker.conclusions import RETRY_EVERY, patience_with
from cron_tasks.worker.event_loop import EventLoop
from cron_tasks.worker.flight import Flight
from cron_tasks.worker.inflight import Posted, Slot
from cron_tasks.worker.interrupts import GRACE, HARD
from cron_tasks.worker.performing import end_of_stop, end_of_timeout
from cron_tasks.worker.room import Room
from cron_tasks.worker.service import Service, raise_descriptor_limit

log = structlog.get_logger("cron_tasks.runs")

#: The most runs in flight in one process. It is lower if the process may open fewer connections.
MOST = 5_000
#: File descriptors of a process that are reserved for other uses than connections of actions.
OTHER_DESCRIPTORS = 128
#: Seconds that an action gets beyond its timeout. An HTTP request ends at its timeout by itself.
SLACK = 0.5
#: Seconds for which a message waits for room for its runs.
WAIT = 5.0
#: Seconds between two rounds of finishing runs, and the most runs of one round.
GATHER, TOGETHER = 0.005, 500


#: Concludes runs with their results, in one step. Raises RedisError.
Finish = Callable[[Sequence[tuple[Flight, Result]]], None]


class Flights:
    """The runs of one process that wait on its event loop. Its threads start with the first run."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        clock: Callable[[], float],
        service: Service,
        finish: Finish,
        slot: Slot | None = None,
    ) -> None:
        self._ledger, self._settings, self._clock = ledger, settings, clock
        self._service, self._finish, self._slot = service, finish, slot
        self._flying: set[Flight] = set()
        self._ended: deque[tuple[Flight, Result]] = deque()
        self._room = Room(0, 0)
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._loop: EventLoop | None = None
        self._loop_seen = self._renewed = 0.0
        self._failing_since: float | None = None
        self._is_posted = False

    def launch(self, flights: Sequence[Flight]) -> list[Flight]:
        """Start the runs for which there is room now or soon. Return the others."""
        if not flights:
            return []
        loop = self._start()
        left, until = list(flights), time.monotonic() + WAIT
        with self._changed:
            while left:
                now = time.monotonic()
                started = [each for each in left if self._take_off(each, now)]
                if started:
                    if not self._is_posted:
                        self._post(started, now)
                    loop.call(self._begin_all, started)
                    left = [each for each in left if each not in self._flying]
                is_over = now > until or bool(self._service.reason)
                if is_over or all(self._room.is_stuck(each.place, now) for each in left):
                    break
                self._changed.wait(LOOK_EVERY)
        return left

    def drain(self) -> None:
        """Wait until no run is in flight. Outcomes wait for Redis no longer than a lease."""
        begun = time.monotonic()
        with self._changed:
            while self._flying:
                self._changed.wait(LOOK_EVERY)
                since = self._failing_since
                is_away = since is not None and time.monotonic() > max(begun, since) + LEASE
                if is_away and all(each.has_ended for each in self._flying):
                    for flight in self._flying:
                        log.error("run.not_finished", run_id=flight.run.run_id)
                    return

    def _start(self) -> EventLoop:
        """Start the threads, unless they run."""
        with self._changed:
            if self._loop is None:
                # An eighth is reserved for idle connections (actions/idle.py).
                most = raise_descriptor_limit(2 * MOST) * 7 // 8 - OTHER_DESCRIPTORS
                most = max(2, min(MOST, most))
                self._room = Room(most, most // 2)
                self._loop = EventLoop()
                self._renewed = time.monotonic()
                threading.Thread(target=self._keep, name="flights", daemon=True).start()
                threading.Thread(target=self._watch, name="timeouts", daemon=True).start()
            return self._loop

    def _take_off(self, flight: Flight, now: float) -> bool:
        if not self._room.take(flight.place, now):
            return False
        self._flying.add(flight)
        self._service.enter(flight.key)
        flight.begun = flight.renewed = now
        flight.started_at = self._clock()
        return True

    def _begin_all(self, flights: Sequence[Flight]) -> None:
        """Start the actions. Called on the loop."""
        assert self._loop
        for flight in flights:
            flight.task = self._loop.start(self._perform(flight))
            flight.task.add_done_callback(partial(self._note_end, flight))

    async def _perform(self, flight: Flight) -> Result:
        run = flight.run
        try:
            with bind(job_id=run.job.id, run_id=run.run_id):
                return await performing.await_action(run, self._settings)
        except asyncio.CancelledError as error:
            # Without `stopped`, nobody asked the action to end: it raised this itself.
            return flight.stopped or performing.end_of_error(run, error)

    def _note_end(self, flight: Flight, task: "asyncio.Task[Result]") -> None:
        # An action that was asked to end has not done its work, whatever it returns.
        self._ended.append((flight, flight.stopped or performing.read_result(flight.run, task)))
        self._wake.set()

    def _keep(self) -> None:
        """Finish runs that end, and renew leases, for as long as this process lives."""
        renew_at = time.monotonic() + LOOK_EVERY
        while True:
            self._wake.wait(max(0.0, renew_at - time.monotonic()))
            _try(self._finish_ended)
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + LOOK_EVERY
                _try(self._renew)

    def _watch(self) -> None:
        """Check the runs in flight every second, for as long as this process lives."""
        while True:
            time.sleep(LOOK_EVERY)
            _try(lambda: self._look(time.monotonic()))

    def _finish_ended(self) -> None:
        """Finish the runs that have ended. Raises RedisError, and keeps them for the next time."""
        self._wake.clear()
        if self._ended and len(self._ended) < len(self._flying):
            time.sleep(GATHER)
        while self._ended:
            page = [self._ended.popleft() for _ in range(min(len(self._ended), TOGETHER))]
            try:
                self._finish_page(page)
            except RedisError:
                self._ended.extendleft(reversed(page))
                self._wake.set()
                raise
            now = time.monotonic()
            with self._changed:
                for flight, _ in page:
                    self._land(flight, now)
                self._changed.notify_all()
            self._failing_since = None

    def _finish_page(self, page: Sequence[tuple[Flight, Result]]) -> None:
        """Finish runs together. If that fails for long, the run that causes it is left out."""
        try:
            self._finish(page)
        except Exception as error:
            now = time.monotonic()
            since = self._failing_since = self._failing_since or now
            if isinstance(error, RedisError) and now < since + patience_with(error):
                raise
            for flight, result in page:
                try:
                    self._finish([(flight, result)])
                except Exception:
                    # The sweep ends it, once its lease has expired.
                    log.exception("run.not_finished", run_id=flight.run.run_id)

    def _land(self, flight: Flight, now: float) -> None:
        self._flying.discard(flight)
        self._room.leave(flight.place, now)
        self._service.leave(flight.key)

    def _look(self, now: float) -> None:
        assert self._loop
        self._loop.call(self._see_loop)
        with self._changed:
            flying = [each for each in self._flying if not each.has_ended]
            self._post(flying, now)
        for flight in flying:
            if now > flight.times_out_at + SLACK:
                self._ask_to_end(flight, end_of_timeout(flight.run), now)
            if flight.asked_at is not None and now > flight.asked_at + GRACE:
                self._give_up(flight)
        self._service.check()

    def _see_loop(self) -> None:
        self._loop_seen = time.monotonic()

    def _post(self, flying: Sequence[Flight], now: float) -> None:
        """Tell the worker's main process when to kill this process.

        While the watching thread and the loop work, there is no reason to. When they stop, the
        process is killed at the first hard deadline. If the leases are not renewed, the main
        process does that.
        """
        if not self._slot:
            return
        self._is_posted = bool(flying)
        if not flying:
            self._slot.clear()
            return
        first = min(flying, key=lambda each: each.hard_deadline)
        loop_works = now < self._loop_seen + LEASE / 3
        until = max(first.hard_deadline, now + HARD) if loop_works else first.hard_deadline
        result = first.stopped or end_of_timeout(first.run)
        self._slot.post(
            Posted(first.run.run_id, first.holder, first.started_at, result, until, self._renewed)
        )

    def _renew(self) -> None:
        """Renew leases, and ask the actions to end whose runs should end. Raises RedisError."""
        now = time.monotonic()
        with self._changed:
            old = [each for each in self._flying if now > each.renewed + LOOK_EVERY / 2]
        for page in pages(old, 1000):
            held = [(each.run.run_id, each.holder) for each in page]
            reasons = self._ledger.renew_leases(self._clock(), held)
            for flight in page:
                flight.renewed = now
                if why := reasons.get(flight.run.run_id):
                    self._ask_to_end(flight, end_of_stop(why), now)
        self._renewed = now

    def _ask_to_end(self, flight: Flight, result: Result, now: float) -> None:
        assert self._loop
        with self._changed:
            if flight.stopped is None and not flight.has_ended:
                flight.stopped, flight.asked_at = result, now
                self._loop.call(self._cancel, flight)

    def _cancel(self, flight: Flight) -> None:
        if flight.task:
            flight.task.cancel()

    def _give_up(self, flight: Flight) -> None:
        """Give up an action that did not end when it was asked to, by ending this process.

        If the loop itself hangs, the worker's main process kills the process (watchdog.py).
        """
        result = flight.stopped
        assert result
        self._service.give_up(
            flight.key,
            "a run outlived its timeout on the event loop, which nobody can end",
            lambda: self._finish([(flight, result)]),
        )


def _try(step: Callable[[], object]) -> None:
    """Do a step of a thread on which all runs in flight depend."""
    try:
        step()
    except RedisError as error:
        log.warning("lease.not_renewed", error=str(error))
        time.sleep(RETRY_EVERY)
    except Exception:
        log.exception("flights.failed")
        time.sleep(RETRY_EVERY)
