"""The ledger holds the state of every run.

Celery on Redis loses messages and delivers some twice, so a message is only a hint that a run is
pending. The ledger is the source of truth. Each step is one Lua script for any number of runs, so
no crash can split it:

    due ──advance──▶ pending ──claim──▶ running ──finish──▶ ok, failed, skipped or missed

A run may also be queued behind another one, wait for its next attempt, be delegated to a Celery
task, or become pending again. transitions.py lists every change, and state.py every state.

An open run is a field of the hash `cron_tasks:open`, whose value is its state, and a member of the
sorted set `cron_tasks:deadlines`. The score is the time at which beat checks the run: when the
message of a pending run may be lost, when the lease of a running one ends, or when a retry is due.
"""

from collections.abc import Collection, Mapping, Sequence

from cron_tasks.errors import WriteRefused
from cron_tasks.ledger import steps as steps
from cron_tasks.ledger.batches import PATIENCE as PATIENCE
from cron_tasks.ledger.batches import Batches, read_batched
from cron_tasks.ledger.batches import LockLost as LockLost
from cron_tasks.ledger.history import read_history, read_newest, request_history
from cron_tasks.ledger.open_runs import parse_open, parse_overdue
from cron_tasks.ledger.readable import parse_each
from cron_tasks.ledger.records import Advance, Claim, Outcome, Overdue
from cron_tasks.ledger.rows import entry_row, outcome_rows
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, Kind, State
from cron_tasks.store import keys
from cron_tasks.store.paging import pages

#: Seconds that a claim lasts unless it is renewed.
LEASE = 15.0
#: Seconds after which a run is claimed again if its message came before that of an earlier run.
AGAIN = 1.0


class Ledger(Batches):
    """The ledger in one Redis."""

    def advance(self, token: str, now: float, page: Sequence[Advance], edits: int) -> list[RunId]:
        """Move a page of due entries to their next fire time, and open their runs.

        Returns the run ids that were opened. An entry that was removed, moved, or edited since the
        registry's edit `edits` is left alone. A call takes at most 1,000 entries, because of Lua's
        limit for `unpack`. Raises LockLost if `token` does not hold the leader's lock.
        """
        try:
            refused = set(
                steps.advance(
                    self.redis,
                    token=token,
                    now=now,
                    pending_until=now + PATIENCE,
                    read_edit=edits,
                    reporting=self._reporting,
                    entries=map(entry_row, page),
                    **self._kept,
                    **self._queues,
                )
            )
        except WriteRefused:
            raise LockLost from None
        opened = [each for entry in page for each in entry.run_ids if each not in refused]
        if self._recorder is not None:
            self._recorder.record_fires(opened, now)
            self._recorder.record_ends([each for entry in page for each in entry.skipped])
            self._recorder.record_missed([entry.missed for entry in page if entry.missed])
        return opened

    def open(
        self, run_ids: Sequence[RunId], due: float, again: bool = False, in_turn: bool = False
    ) -> list[RunId]:
        """Open runs that a person asked for. Returns those that were not open before.

        At `due` (seconds since the epoch), beat publishes the runs that no worker has claimed.
        `again` is for runs that ended before. With `in_turn` they wait for other runs of their job,
        whatever its overlap policy.
        """
        flags = [Flag.BY_HAND] + [Flag.RERUN] * again + [Flag.IN_TURN] * in_turn
        state = State(Kind.PENDING, flags=flags)
        runs = [(run_id, run_id.job_id) for run_id in run_ids]
        self.take_out(run_ids)
        opened = set(steps.open(self.redis, publish_at=due, state=state, runs=runs))
        return [run_id for run_id in run_ids if run_id in opened]

    def claim(self, holder: str, now: float, run_ids: Sequence[RunId]) -> list[Claim]:
        """Give pending runs to `holder`, each with a lease. Returns those that were granted.

        Runs that have ended, that another worker holds, or that the overlap policy of their job
        holds back are not granted. An earlier run goes before a later one, and a run that has begun
        keeps its place until it ends.
        """
        if not run_ids:
            return []
        # The script first reads all runs, so a run that is named twice would be granted twice.
        run_ids = list(dict.fromkeys(run_ids))
        first, claims = State(Kind.RUNNING, holder=holder), []
        replies = steps.claim(
            self.redis,
            holder=holder,
            lease_until=now + LEASE,
            ask_again_at=now + AGAIN,
            runs=[(run_id, run_id.job_id) for run_id in run_ids],
        )
        for run_id, granted in zip(run_ids, replies, strict=True):
            if isinstance(granted, str):
                claims.append(Claim(run_id, first, granted, ""))
            elif isinstance(granted, list):
                state, *rest = granted
                claims.append(Claim(run_id, State.parse(state), *rest))
        return claims

    def renew(self, holder: str, now: float, run_ids: Sequence[str]) -> dict[str, str]:
        """Extend the leases of runs. Returns the runs that should end, with the cancel reason.

        A cancel reason is "<reason>|<run id>". "lost|" means that `holder` no longer holds the run.
        """
        return self.renew_leases(now, [(run_id, holder) for run_id in run_ids])

    def renew_leases(self, now: float, held: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Extend leases of several holders, as `renew` does. `held` are run ids and holders."""
        if not held:
            return {}
        flat = steps.renew(self.redis, lease=now + LEASE, runs=held)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def renew_all(self, worker: str, now: float) -> None:
        """Extend the leases of all runs of a worker process that cannot do so itself."""
        held = parse_each(parse_open, self.redis.hscan_iter(keys.OPEN, count=1000))
        own = [(run_id, state.holder) for run_id, state in held if state.worker == worker]
        for page in pages(own):
            self.renew_leases(now, page)

    def hand_over(self, claim: Claim, to: Claim, until: float) -> str:
        """Delegate a run to a Celery task, whose outcome may come until `until`.

        Returns "" if the task now holds the run, otherwise the cancel reason as in `renew`.
        """
        return steps.hand_over(
            self.redis,
            run_id=claim.run_id,
            held=claim.state,
            delegated=to.state,
            until_when=until,
        )

    def finish(self, now: float, outcomes: Sequence[Outcome]) -> list[RunId]:
        """End attempts: close runs or schedule retries, and write history, account and
        notifications, all in one step.

        Returns the run ids of the outcomes whose run was still in the given state. The others
        changed nothing. A retry that somebody does not want, or whose job was paused or removed
        meanwhile, ends its run: the outcome gets that status. A notification whose queue is of
        another type goes to `cron_tasks:undeliverable`.
        """
        if not outcomes:
            return []
        if len({each.run_id for each in outcomes}) < len(outcomes):
            # The script first reads all runs, so a second outcome of the same run needs another
            # call.
            return [closed for each in outcomes for closed in self.finish(now, [each])]
        rows, counts = outcome_rows(outcomes)
        refused, stopped = steps.finish(
            self.redis,
            now=now,
            reporting=self._reporting,
            outcomes=rows,
            counts=counts,
            **self._kept,
            **self._queues,
        )
        reasons = zip(stopped[::2], stopped[1::2], strict=True)
        cut_short = [
            (outcome := outcomes[int(n) - 1], _end_unretried(outcome, why)) for n, why in reasons
        ]
        left = {*refused, *(each.run_id for each, _ in cut_short)}
        ended = [each for each in outcomes if each.run_id not in left]
        if self._recorder is not None:
            self._recorder.record_ends(ended)
        closed = [each.run_id for each in ended]
        closed += self.finish(now, [end for _, end in cut_short])
        for outcome, end in cut_short:
            # Not earlier: if Redis does not answer, the caller sends the same outcome again.
            outcome.status = end.status
        return closed

    def stop(self, run_ids: Sequence[str], why: str) -> list[str]:
        """Ask open runs to end as skipped, for the cancel reason `why`.

        Runs in batches leave them. Returns the run ids that were open. The worker ends a running
        run within seconds, and beat ends any other.
        """
        self.take_out(run_ids)
        return steps.stop(self.redis, reason=why, runs=[(run_id,) for run_id in run_ids])

    def overdue(self, now: float, limit: int) -> list[Overdue]:
        """Return open runs whose deadline has passed, the longest overdue first.

        Runs in batches are not among them.
        """
        rows = steps.overdue(self.redis, now=now, most=limit)
        return list(parse_each(parse_overdue, rows))

    def hand_back(
        self,
        now: float,
        ticks: Sequence[tuple[RunId, State]],
        attempt_more: bool = False,
        sent_again: bool = False,
        counts: str = "",
    ) -> None:
        """Make runs pending again: the message was lost, the worker died, or a retry is due.

        `ticks` are pairs of a run id and the state in which the caller saw it. A run in another
        state is left alone. With `attempt_more` the next claim begins a further attempt. With
        `sent_again` the state counts that the message of a pending run was sent again. Each run
        adds `counts` to the counters.
        """
        how = "attempt" if attempt_more else "sent" if sent_again else ""
        until = now + PATIENCE
        steps.hand_back(self.redis, pending_until=until, how=how, counts=counts, runs=ticks)

    def add_to_counters(self, counts: Mapping[str, int]) -> None:
        """Add to counters from outside the steps of the ledger (counting.py)."""
        with self.redis.pipeline(transaction=False) as pipe:
            for counter, number in counts.items():
                pipe.hincrby(keys.METRICS, counter, number)
            # A key of another type must not block the ledger.
            pipe.execute(raise_on_error=False)

    def list_overtaken(self, now: float, rows: Sequence[Sequence[str | bytes]]) -> int:
        """Record fire times that an edit, a pause or a removal overtook, and notify about them.

        A row has the job id, the first fire time, the line in the account, the record that replaces
        it, the queue, the message, and the additions to the counters. Without a queue there is no
        notification. Returns how many rows were new.
        """
        if not rows:
            return 0
        listed = steps.list_overtaken(
            self.redis, now=now, stretches=rows, **self._kept, **self._queues
        )
        # If the first call failed, a second call completes it.
        if self._recorder is not None and listed == len(rows):
            self._recorder.record_missed([record for _, _, _, record, *_ in rows])
        return listed

    def look_after(self, job_ids: Collection[str], now: float) -> None:
        """Make beat check the open runs of these jobs now, because the jobs were paused.

        A run in flight is left to its worker.
        """
        for ids in pages(run for run, state in self._open_of(job_ids) if not state.in_flight):
            self.redis.zadd(keys.DEADLINES, dict.fromkeys(ids, now), xx=True)

    def let_go(self, job_ids: Collection[str]) -> None:
        """Keep the open runs of these jobs from beginning, because the jobs were removed.

        A run in flight continues to its end. It is not retried, even if its job comes back.
        """
        for ids in pages(tick for tick, _ in self._open_of(job_ids)):
            self.stop(ids, "removed|")

    def _open_of(self, job_ids: Collection[str]) -> list[tuple[RunId, State]]:
        """Return the open runs of these jobs, each with its state. Runs in batches leave them."""
        if not job_ids:
            return []
        self.take_out([run for run in read_batched(self.redis) if run.job_id in job_ids])
        opened = self.redis.hscan_iter(keys.OPEN, count=1000)
        return [each for each in parse_each(parse_open, opened) if each[0].job_id in job_ids]

    def history(self, job_id: str) -> list[str]:
        """Return the records of a job's past runs, and its minutes (minutes.py), newest first."""
        with self.redis.pipeline(transaction=False) as pipe:
            request_history(pipe, job_id)
            return read_history(pipe.execute(), job_id)

    def newest(self, job_ids: Sequence[str]) -> list[str | None]:
        """Return the record of the newest run of each of these jobs, or None, in one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.lindex(keys.HISTORY_PREFIX + job_id, 0)
            if job_ids:
                pipe.hmget(keys.MINUTE, job_ids)
            *rows, minutes = pipe.execute(raise_on_error=False) or [[]]
        if isinstance(minutes, Exception):
            minutes = [None] * len(rows)
        return [
            read_newest(row, minute, job_id)
            for job_id, row, minute in zip(job_ids, rows, minutes, strict=True)
        ]


def _end_unretried(outcome: Outcome, why: str) -> Outcome:
    """Return the end of a run whose retry is not wanted."""
    assert outcome.otherwise
    return outcome.otherwise(why)
