"""The ledger: what became of every tick.

Celery on Redis loses messages and doubles them, so a message is only a hint that a tick waits;
this is the truth. Each step is one Lua call for any number of ticks, so no crash can split it. A
server that is full or read-only refuses it at its first write, so that write comes before any
deletion, which a full server would still carry out:

    due ──advance──▶ pending ──claim──▶ running(lease) ──finish──▶ ok | failed
                        │  ▲                 │ lease ran out
                        │  └── hand back ◀───┘
                        └──▶ skipped(reason) | missed(reason)

An open tick is a field of the hash `cron_tasks:open`, "p|attempt|" (pending) or "r|attempt|holder"
(running), and a member of `cron_tasks:deadlines`, scored with the time at which somebody has to
look after it: when a pending tick's message counts as lost, when a running tick's lease ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis import Redis

from cron_tasks import ledger_steps as steps
from cron_tasks import names

#: Seconds after which a pending tick that nobody claimed is looked after.
PATIENCE = 5.0
#: Seconds that a claim holds without being renewed.
LEASE = 15.0


class LockLost(Exception):
    """Another beat leads by now; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Advance:
    """One due entry: its next score, RedBeat meta, and the ticks that it puts into the ledger."""

    key: str
    score: str
    next: float | None
    meta: str
    run_ids: Sequence[str] = ()
    job_id: str = ""
    missed: bytes = b""


@dataclass(frozen=True, slots=True)
class Claim:
    """A tick that is ours to run: the attempt that begins (1 is the first) and the job document."""

    run_id: str
    state: str
    document: str

    @property
    def attempt(self) -> int:
        return attempt_of(self.state)


@dataclass(frozen=True, slots=True)
class Message:
    """A notification and the Redis list that it goes to."""

    queue: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tick ended: its record for the history, and what to tell.

    `state` is the state it was left in; a tick that has moved on since is left alone.
    """

    run_id: str
    job_id: str
    state: str
    record: bytes
    messages: Sequence[Message] = field(default=())


@dataclass(frozen=True, slots=True)
class Overdue:
    """An open tick whose deadline has passed; `document` is None when its job is gone."""

    run_id: str
    state: str
    document: str | None

    @property
    def running(self) -> bool:
        return self.state.startswith("r")

    @property
    def attempt(self) -> int:
        return attempt_of(self.state)


def attempt_of(state: str) -> int:
    return int(state.split("|")[1])


class Ledger:
    """The ledger in one Redis. `keep` past runs a job are kept for `ttl` seconds."""

    def __init__(self, redis: Redis, keep: int = 20, ttl: int = 7 * 86400) -> None:
        self.redis = redis
        self._keep = [keep, ttl]

    def advance(self, token: str, now: float, page: Sequence[Advance]) -> list[str]:
        """Move a page of due entries on and put their ticks into the ledger; the new run ids.

        An entry that was changed, removed or moved on meanwhile is passed over. At most a thousand
        entries a call, the most that Lua unpacks.
        Raises LockLost when `token` does not hold the leader's lock.
        """
        args: list[Any] = [token, now + PATIENCE, names.HISTORY_PREFIX, *self._keep]
        for entry in page:
            upcoming = "" if entry.next is None else repr(entry.next)
            args += [entry.key, entry.score, upcoming, entry.meta, entry.job_id, entry.missed]
            args += [len(entry.run_ids), *entry.run_ids]
        keys = [names.LEADER_LOCK, names.SCHEDULE, names.OPEN, names.DEADLINES]
        opened = steps.advance(self.redis, keys, args)
        if opened is None:
            raise LockLost
        return opened

    def open(self, run_id: str, now: float) -> bool:
        """Put a tick asked for by hand into the ledger; False when it is there already."""
        return bool(steps.open(self.redis, [names.OPEN, names.DEADLINES], [run_id, now + PATIENCE]))

    def claim(self, holder: str, now: float, run_ids: Sequence[tuple[str, str]]) -> list[Claim]:
        """Those of the (run id, job id) that are now `holder`'s to run, each with a lease.

        Not among them: ticks that are finished, that another holds, or whose job was removed.
        """
        if not run_ids:
            return []
        args = [holder, now + LEASE, names.JOB_ENTRY_PREFIX]
        for run_id, job_id in run_ids:
            args += [run_id, job_id]
        granted = steps.claim(self.redis, [names.OPEN, names.DEADLINES], args)
        return [Claim(*row) for row in granted]

    def renew(self, holder: str, now: float, run_ids: Sequence[str]) -> list[str]:
        """Extend the leases of `run_ids`; returns those that are no longer `holder`'s."""
        return steps.renew(
            self.redis, [names.OPEN, names.DEADLINES], [holder, now + LEASE, *run_ids]
        )

    def finish(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Close ticks, write their history and queue their notifications, all in one step.

        Returns the run ids that were still in the state given; the others changed nothing. A
        message whose queue is no Redis list goes to `cron_tasks:undeliverable`.
        """
        if not outcomes:
            return []
        args: list[Any] = [names.JOB_ENTRY_PREFIX, names.HISTORY_PREFIX, *self._keep]
        for each in outcomes:
            args += [each.run_id, each.job_id, each.state, each.record, len(each.messages)]
            for message in each.messages:
                args += [message.queue, message.payload]
        return steps.finish(self.redis, [names.OPEN, names.DEADLINES, names.UNDELIVERABLE], args)

    def overdue(self, now: float, limit: int) -> list[Overdue]:
        """Open ticks whose deadline has passed, the longest overdue first."""
        rows = steps.overdue(
            self.redis, [names.DEADLINES, names.OPEN], [now, limit, names.JOB_ENTRY_PREFIX]
        )
        return [Overdue(run_id, state, document or None) for run_id, state, document in rows]

    def hand_back(
        self, now: float, ticks: Sequence[tuple[str, str]], attempt_more: bool = False
    ) -> None:
        """Make the (run id, state seen) pending again: message lost, worker dead or stopping.

        With `attempt_more` the next claim begins a further attempt.
        """
        args: list[Any] = [now + PATIENCE, int(attempt_more)]
        for run_id, state in ticks:
            args += [run_id, state]
        steps.hand_back(self.redis, [names.OPEN, names.DEADLINES], args)

    def history(self, job_id: str) -> list[str]:
        """Records of a job's past runs, newest first."""
        rows = self.redis.lrange(names.HISTORY_PREFIX + job_id, 0, -1)
        return cast("list[str]", rows)

    def newest(self, job_ids: Sequence[str]) -> list[str | None]:
        """The newest record of each of these jobs, None where there is none; one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.lindex(names.HISTORY_PREFIX + job_id, 0)
            rows = pipe.execute(raise_on_error=False)
        return [None if isinstance(row, Exception) else row for row in rows]
