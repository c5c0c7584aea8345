"""The steps of the ledger that concern batches (batch.py)."""

from collections.abc import Collection, Sequence
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.errors import WriteRefused
from cron_tasks.ledger import steps
from cron_tasks.ledger.batch import STATE, Batch, Departure, read_rest
from cron_tasks.ledger.counting import count_end, count_told
from cron_tasks.ledger.day_count import count_one
from cron_tasks.ledger.minutes import make_brief, write_rest
from cron_tasks.ledger.recording import find_recorder
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.readable import is_count, parse_each

#: Seconds after which beat checks a pending run, or a batch, that no worker has taken.
PATIENCE = 5.0
#: A queue, whether its jobs are quick (minutes.py), and each job with its message. The queue "" is
#: for runs without a message.
Told = tuple[str, bool, Sequence[tuple[str, bytes]]]


class LockLost(Exception):
    """Another beat leads now. Nothing was changed."""


def describe_kept(settings: Settings) -> dict[str, int]:
    """Return what scripts that write outcomes have to know: how much is kept, and for how long."""
    return {
        "history_runs": settings.history_runs,
        "history_ttl": int(settings.history_days * DAY),
        # One day more than the audit covers, because counts are kept by the day.
        "account_ttl": int((settings.audit_days + 1) * DAY),
    }


class Batches:
    """The batches in one Redis."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self._kept = describe_kept(settings)
        self.audited = self._kept["account_ttl"]
        self._queues = {
            "stream": settings.notify_transport == "stream",
            "notify_max": settings.notify_max,
        }
        self._reporting = bool(settings.rest_report_path)
        self._recorder = find_recorder(settings)

    def advance_batch(
        self,
        token: str,
        now: float,
        batch_id: str,
        due: Departure,
        edits: int,
        notifications: bytes = b"",
    ) -> list[str]:
        """Move entries to their next fire time, and open their runs as one batch.

        `notifications` are the prepared templates for its worker, b"" for none. Returns the ids of
        the jobs that have no run in it, as `advance` does. A call takes at most 2,000 entries.
        Raises LockLost if `token` does not hold the leader's lock.
        """
        try:
            left = steps.advance_batch(
                self.redis,
                token=token,
                pending_until=now + PATIENCE,
                read_edit=edits,
                batch=batch_id,
                score=due.score,
                moment=batch_id.partition("#")[0],
                queue=due.options.get("queue", ""),
                are_new=due.are_new,
                notifications=notifications,
                moves=[
                    (upcoming, [(each,) for each in ids]) for upcoming, ids in due.moves.items()
                ],
            )
        except WriteRefused:
            raise LockLost from None
        if self._recorder is not None:
            members = {job_id for ids in due.moves.values() for job_id in ids}.difference(left)
            when = float(due.score)
            self._recorder.record_fires((RunId(job_id, when) for job_id in members), now)
        return left

    def read_batch(self, batch_id: str) -> tuple[Batch, int, str] | None:
        """Return an open batch, the registry's current edit, and the notifications prepared for it.

        Returns None if the batch is no longer open.
        """
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.BATCHES, batch_id)
            pipe.get(keys.EDITS)
            pipe.get(keys.PREPARED_PREFIX + batch_id)
            record, edits, prepared = pipe.execute()
        if record is None:
            return None
        return Batch.parse(batch_id, record), int(edits) if is_count(edits) else 0, prepared or ""

    def conclude(
        self,
        batch: Batch,
        started: float,
        now: float,
        line: bytes,
        told: Sequence[Told],
    ) -> list[RunId] | None:
        """End all runs of a batch as ok, and write history, account and notifications.

        The runs began at `started` and ended at `now`.
        `line` is the record of each run (batch.py). `told` has the jobs and their messages, as the
        jobs were when the batch was judged or later.
        Returns the runs that left the batch and are now pending, because their job was edited,
        paused or removed, or failed before. Returns None, and changes nothing, if the batch is no
        longer open, or has lost members.
        """
        lag, took = int((started - batch.fire_time) * 1000), int((now - started) * 1000)
        brief = make_brief(batch.fire_time, started, now, write_rest(read_rest(line)))
        left = steps.conclude(
            self.redis,
            batch=batch.id,
            seen=batch.seen,
            now=now,
            day=int(batch.fire_time // DAY),
            tally=count_one(batch.fire_time),
            line=line,
            number=brief.minute,
            brief=brief.run,
            opening=brief.opening,
            counts=count_end("ok", None, "notify", lag, took, attempted=True),
            told_counts=count_told(int((now - batch.fire_time) * 1000)),
            reporting=self._reporting,
            queues=[(queue, "1" if is_quick else "", rows) for queue, is_quick, rows in told],
            **self._kept,
            **self._queues,
        )
        if isinstance(left, int):
            return None
        if self._recorder is not None:
            ended = set(batch.run_ids).difference(left)
            self._recorder.record_batch(ended, started, now, orjson.loads(line)[3])
        return [RunId.stored(each) for each in left]

    def overdue_batches(self, now: float) -> list[Batch]:
        """Return the open batches whose deadline has passed."""
        rows = steps.overdue_batches(self.redis, now=now)
        return list(parse_each(lambda row: Batch.parse(*row), rows))

    def wait_for(self, batch: Batch, now: float) -> None:
        """Check a batch again later, because its message still waits for a worker."""
        self.redis.zadd(keys.DEADLINES, {batch.id: now + PATIENCE}, xx=True)

    def take_out(self, run_ids: Collection[str]) -> None:
        """Take runs out of their batches, so that each becomes an ordinary pending run.

        Beat checks them at once. Runs that are not in a batch are ignored.
        """
        if run_ids and self.redis.exists(keys.BATCHES):
            parts = (run_id.rpartition("@") for run_id in run_ids)
            runs = [(moment, job_id) for job_id, _, moment in parts]
            steps.take_out(self.redis, now=0, runs=runs)


def read_batched(redis: Redis, job_id: str | None = None) -> dict[RunId, State]:
    """Return the runs that are in a batch, of one job or of all, each with its state.

    A run only ever moves from a batch to the other open runs. So a reader of both has to read
    batches first.
    """
    return parse_batched(redis.hgetall(keys.BATCHES), job_id)


def parse_batched(records: Any, job_id: str | None = None) -> dict[RunId, State]:
    """Return the runs of batches as stored (`cron_tasks:batches`), each with its state."""
    found: dict[RunId, State] = {}
    stored = cast("dict[str, str]", records).items()
    for batch in parse_each(lambda row: Batch.parse(*row), stored):
        if job_id is None:
            found |= dict.fromkeys(batch.run_ids, STATE)
        elif job_id in batch.job_ids:
            found[RunId(job_id, batch.fire_time)] = STATE
    return found
