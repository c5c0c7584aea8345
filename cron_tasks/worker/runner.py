"""Runs on a worker: claim, perform, finish."""

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import structlog
from redis.exceptions import RedisError

from cron_tasks.actions import find_place
from cron_tasks.errors import describe_error
from cron_tasks.jobs.actions import TaskAction, waits_on_loop
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.alarms import keep_pings
from cron_tasks.ledger.ledger import LEASE, Ledger
from cron_tasks.ledger.records import Claim, Outcome, split_reason
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.spans import attempt_of
from cron_tasks.registry.registry import Registry
from cron_tasks.runs.commands import open_by_hand
from cron_tasks.runs.outcomes import (
    conclude,
    conclude_without_job,
    count_earlier_attempts,
    give_up_retry,
)
from cron_tasks.runs.pings import write_pings
from cron_tasks.runs.result import ERROR_SHOWN, Attempt, Result
from cron_tasks.schedules.catchup import late_reason
from cron_tasks.settings import Settings
from cron_tasks.store.leases import keep_calling
from cron_tasks.telemetry.logs import bind
from cron_tasks.text.display import printable
from cron_tasks.text.trace_ids import format_traceparent
from cron_tasks.tracing.tracer import find_tracer
from cron_tasks.worker.conclusions import Concluder, log_ended
from cron_tasks.worker.delegation import Handed
from cron_tasks.worker.flight import Flight
from cron_tasks.worker.flights import Flights
from cron_tasks.worker.inflight import Slot
from cron_tasks.worker.performing import Watched, end_of_stop, perform_action
from cron_tasks.worker.service import Service

log = structlog.get_logger("cron_tasks.runs")

#: An attempt that has ended.
Ended = tuple[Outcome, Result]
#: The most places without room that the log names.
PLACES_SHOWN = 5
#: Sends the task of a job: (job, its action, id of the task, arguments of its callbacks).
Send = Callable[[Job, TaskAction, str, Handed], None]


class Runner(Concluder):
    """Performs the runs of one worker process.

    Each claim has its own holder, so a repeated message is refused even by another thread of this
    process.
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        settings: Settings,
        worker: str,
        clock: Callable[[], float],
        send: Send,
        slot: Slot | None = None,
        service: Service | None = None,
    ) -> None:
        super().__init__(ledger, settings, clock)
        self.registry = registry
        self.worker = worker
        self.send = send
        self.slot = slot
        self.service = service or Service()
        flights_slot = slot and slot.beside
        self.flights = Flights(
            ledger, settings, clock, self.service, self._finish_flights, flights_slot
        )
        self._claims = count()
        self._tracer = find_tracer(settings)

    def run(self, run_ids: Sequence[RunId]) -> dict[str, str]:
        """Run those of the runs that can be claimed. Return the outcome of each as text, by run
        id."""
        holder = f"{self.worker}#{next(self._claims)}"
        self.service.enter(holder)
        try:
            return self._run(holder, run_ids)
        finally:
            self.service.leave(holder)

    def _run(self, holder: str, run_ids: Sequence[RunId]) -> dict[str, str]:
        claims = self.ledger.claim(holder, self.clock(), run_ids)
        if not claims:
            return {}
        claimed = [claim.run_id for claim in claims]
        with keep_calling(lambda: self.ledger.renew(holder, self.clock(), claimed), LEASE / 3):
            done, flights = list[Ended](), list[Flight]()
            for claim in claims:
                found = self._perform(holder, claim)
                if isinstance(found, Flight):
                    flights.append(found)
                elif found:
                    done.append(found)
            ended = self.wait_for_redis(lambda: self._finish_all(done))
            left = self._launch(flights)
        elsewhere = "handed back" if self.service.reason else "handed over"
        became: dict[str, str] = dict.fromkeys(claimed, elsewhere)
        became |= {flight.claim.run_id: "in flight" for flight in flights}
        became |= dict.fromkeys(left, "handed back")
        for outcome, _ in done:
            became.pop(outcome.run_id)
        return {**became, **ended}

    def _finish_all(self, done: Sequence[Ended]) -> dict[str, str]:
        """Finish attempts, and log their ends. Return the statuses. Raises RedisError."""
        closed = set(self.ledger.finish(self.clock(), [outcome for outcome, _ in done]))
        # A run that was to be retried may have ended, if it was cancelled meanwhile.
        results: dict[RunId, Result] = {
            outcome.run_id: result
            if outcome.status == result.status
            else replace(result, status=outcome.status)
            for outcome, result in done
        }
        for lost in results.keys() - closed:
            log.warning("run.lease_lost", run_id=lost, status=results.pop(lost).status)
        log_ended(results)
        return {run_id: result.status for run_id, result in results.items()}

    def _launch(self, flights: Sequence[Flight]) -> list[RunId]:
        """Launch runs that wait on the event loop. Return those for which there is no room."""
        left = self.flights.launch(flights)
        if left:
            ticks = [(flight.claim.run_id, flight.claim.state) for flight in left]
            self.wait_for_redis(lambda: self.ledger.hand_back(self.clock(), ticks))
            places = sorted({flight.place for flight in left})
            log.warning("runs.held_back", ticks=len(left), hosts=places[:PLACES_SHOWN])
        return [flight.claim.run_id for flight in left]

    def _finish_flights(self, ended: Sequence[tuple[Flight, Result]]) -> None:
        """Conclude runs that were in flight. Raises RedisError."""
        self._finish_all(
            [
                (self._conclude_attempt(each.run, each.claim, each.started_at, result), result)
                for each, result in ended
            ]
        )

    def by_hand(self, job_id: str) -> RunId:
        """Open a run of the job now, and return its run id. Raises UnknownJob."""
        return open_by_hand(self.ledger, self.registry.get_job(job_id), self.clock())

    def _perform(self, holder: str, claim: Claim) -> Ended | Flight | None:
        """Make an attempt. Return its end, or the flight in which it is made.

        Return None if a Celery task or another process makes it.
        """
        started = self.clock()
        try:
            job = Job.from_document(claim.document)
        except ValueError as error:
            unreadable = Result("failed", error=printable(str(error), ERROR_SHOWN))
            result = unreadable if claim.document else Result("skipped", "removed")
            by = count_earlier_attempts(claim, started)
            return conclude_without_job(claim, result, by, self.settings), result
        run = Run(job, claim.run_id, claim.run_id.scheduled_for, claim.attempt)
        if self._tracer is not None:
            own = attempt_of(self._tracer.root_of(claim.run_id), claim.run_id, claim.state)
            run.traceparent = format_traceparent(own)
        refused = self._refuse_run(run, claim, started)
        begun = refused is None
        quick = job.action.type == "notify"
        if refused is None and not quick and self.service.reason:
            ticks = [(claim.run_id, claim.state)]
            self.wait_for_redis(lambda: self.ledger.hand_back(self.clock(), ticks))
            return None
        if refused is None and not quick:
            self._ping_start(run, started)
        if refused is None and waits_on_loop(job.action.type):
            return Flight(run, claim, holder, find_place(job))
        if refused is None and isinstance(job.action, TaskAction):
            refused, claim = self._hand_over(run, claim, job.action, started)
            if refused is None:
                return None
            begun = refused.status == "failed"
        result = refused or (
            perform_action(run, self.settings)
            if quick
            else self._watch(run, holder, claim, started)
        )
        return self._conclude_attempt(run, claim, started if begun else None, result), result

    def _ping_start(self, run: Run, now: float) -> None:
        """Ping the job's `heartbeat_url` at the start of the first attempt, if Redis stores the
        ping."""
        pings = write_pings(run.job, run.run_id, "start", now) if run.attempt == 1 else ()
        if pings:
            try:
                keep_pings(self.ledger.redis, pings)
            except RedisError as error:
                log.warning("ping.lost", job_id=run.job.id, reason=str(error), pings=1)

    def _hand_over(
        self, run: Run, claim: Claim, action: TaskAction, started: float
    ) -> tuple[Result | None, Claim]:
        """Delegate an attempt to a Celery task. Return the reason if that failed, and the current
        claim."""
        if not Permissions(self.settings.tasks_allow).allows_task(action.name):
            error = f"CRON_TASKS_TASKS_ALLOW lets no job call the task {printable(action.name)}"
            return Result("failed", error=error, final=True), claim
        # Each attempt has a separate task id, because workers remember revoked ids for hours.
        task_id = f"{claim.run_id}#{claim.attempt}-{secrets.token_hex(3)}"
        handed = claim.handed_to(task_id)
        if why := self.ledger.hand_over(claim, handed, self.clock() + run.job.timeout):
            return end_of_stop(why), claim
        # Not earlier: the outcome of a quick task would come before the run is delegated.
        try:
            with bind(job_id=run.job.id, run_id=run.run_id):
                self.send(run.job, action, task_id, Handed(run.run_id, handed.state, started))
        except Exception as error:
            self.service.check()
            reason = f"its task could not be sent: {describe_error(error, ERROR_SHOWN)}"
            return Result("failed", error=reason), handed
        log.info("run.handed_over", job_id=run.job.id, run_id=run.run_id, task_id=task_id)
        return None, handed

    def _conclude_attempt(
        self, run: Run, claim: Claim, started: float | None, result: Result
    ) -> Outcome:
        """Return the outcome of an attempt. `started` is None if it was not begun."""
        now = self.clock()
        if started:
            result.duration = now - started
        by = (
            Attempt(claim.attempt, started, now, self.worker)
            if started
            else count_earlier_attempts(claim, now)
        )
        return conclude(run, claim, result, by, self.settings, random.random())

    def _refuse_run(self, run: Run, claim: Claim, now: float) -> Result | None:
        """Return the end of a run that must not begin, or None."""
        if not run.job.enabled and not claim.by_hand:
            return give_up_retry(claim, "disabled")
        if claim.verdict:
            reason, other = split_reason(claim.verdict)
            return Result("skipped", reason, other=other)
        if not claim.state.may_be_late:
            late = late_reason(run.scheduled_for, now, run.job.catchup, self.settings.misfire_grace)
            return Result("missed", late) if late else None
        return None

    def _watch(self, run: Run, holder: str, claim: Claim, started: float) -> Result:
        def renew() -> str:
            return self.ledger.renew(holder, self.clock(), [run.run_id]).get(run.run_id, "")

        def give_up(result: Result) -> None:
            self._give_up(holder, lambda: self._conclude_attempt(run, claim, started, result))

        with bind(job_id=run.job.id, run_id=run.run_id):
            watched = Watched(run, holder, started, self.slot, renew, give_up)
            result = watched.perform(self.settings)
        self.service.check()
        return result

    def _give_up(self, holder: str, ended: Callable[[], Outcome]) -> None:
        """Give up an action that did not end when it was asked to.

        The worker's main process kills a process of its pool (watchdog.py). A thread cannot be
        killed, so its worker leaves service.
        """
        if not self.slot:
            self.service.give_up(
                holder,
                "a run outlived its timeout in a thread, which nobody can end",
                lambda: self.ledger.finish(self.clock(), [ended()]),
            )
