"""The ledger: what became of every tick.

Celery on Redis loses messages and doubles them, so a message is only a hint that a tick waits;
this is the truth. Each step is one Lua call for any number of ticks, so no crash can split it:

    due ──advance──▶ pending ──claim──▶ running(lease) ──finish──▶ ok | failed
                        │  ▲                 │ lease ran out
                        │  └── hand back ◀───┘
                        └──▶ skipped(reason) | missed(reason)

An open tick is a field of the hash `cron_tasks:open`, "p|attempt|" (pending) or "r|attempt|holder"
(running), and a member of `cron_tasks:deadlines`, scored with the time at which somebody has to
look after it: when a pending tick's message counts as lost, when a running tick's lease ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis import Redis

from cron_tasks import names
from cron_tasks.scripts import script

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

        An entry that was changed, removed or moved on meanwhile is passed over.
        Raises LockLost when `token` does not hold the leader's lock.
        """
        args: list[Any] = [token, now + PATIENCE, names.HISTORY_PREFIX, *self._keep]
        for entry in page:
            upcoming = "" if entry.next is None else repr(entry.next)
            args += [entry.key, entry.score, upcoming, entry.meta, entry.job_id, entry.missed]
            args += [len(entry.run_ids), *entry.run_ids]
        keys = [names.LEADER_LOCK, names.SCHEDULE, names.OPEN, names.DEADLINES]
        opened = _advance(self.redis, keys, args)
        if opened is None:
            raise LockLost
        return opened

    def open(self, run_id: str, now: float) -> bool:
        """Put a tick asked for by hand into the ledger; False when it is there already."""
        return bool(_open(self.redis, [names.OPEN, names.DEADLINES], [run_id, now + PATIENCE]))

    def claim(self, holder: str, now: float, run_ids: Iterable[tuple[str, str]]) -> list[Claim]:
        """Those of the (run id, job id) that are now `holder`'s to run, each with a lease.

        Not among them: ticks that are finished, that another holds, or whose job was removed.
        """
        args = [holder, now + LEASE, names.JOB_ENTRY_PREFIX]
        for run_id, job_id in run_ids:
            args += [run_id, job_id]
        granted = _claim(self.redis, [names.OPEN, names.DEADLINES], args)
        return [Claim(*row) for row in granted]

    def renew(self, holder: str, now: float, run_ids: Sequence[str]) -> list[str]:
        """Extend the leases of `run_ids`; returns those that are no longer `holder`'s."""
        return _renew(self.redis, [names.OPEN, names.DEADLINES], [holder, now + LEASE, *run_ids])

    def finish(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Close ticks, write their history and queue their notifications, all in one step.

        Returns the run ids that were still in the state given; the others changed nothing. A
        message whose queue is no Redis list goes to `cron_tasks:undeliverable`.
        """
        args: list[Any] = [names.JOB_ENTRY_PREFIX, names.HISTORY_PREFIX, *self._keep]
        for each in outcomes:
            args += [each.run_id, each.job_id, each.state, each.record, len(each.messages)]
            for message in each.messages:
                args += [message.queue, message.payload]
        return _finish(self.redis, [names.OPEN, names.DEADLINES, names.UNDELIVERABLE], args)

    def overdue(self, now: float, limit: int) -> list[Overdue]:
        """Open ticks whose deadline has passed, the longest overdue first."""
        rows = _overdue(
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
        _hand_back(self.redis, [names.OPEN, names.DEADLINES], args)

    def history(self, job_id: str) -> list[str]:
        """Records of a job's past runs, newest first."""
        rows = self.redis.lrange(names.HISTORY_PREFIX + job_id, 0, -1)
        return cast("list[str]", rows)

    def newest(self, job_ids: Iterable[str]) -> list[str | None]:
        """The newest record of each of these jobs, None where there is none; one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.lindex(names.HISTORY_PREFIX + job_id, 0)
            rows = pipe.execute(raise_on_error=False)
        return [None if isinstance(row, Exception) else row for row in rows]


@script
def _advance() -> list[str] | None:  # type: ignore[empty-body]
    """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
    local deadline, history, keep, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
    local opened = {}
    local i = 6
    while ARGV[i] do
        local key, score, upcoming, meta = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+3]
        local job, missed, ticks = ARGV[i+4], ARGV[i+5], tonumber(ARGV[i+6])
        local seen = redis.call('ZSCORE', KEYS[2], key)
        if seen and tonumber(seen) == tonumber(score) and redis.call('TYPE', key).ok == 'hash' then
            if upcoming == '' then
                redis.call('ZREM', KEYS[2], key)
            else
                redis.call('ZADD', KEYS[2], upcoming, key)
            end
            redis.call('HSET', key, 'meta', meta)
            for tick = i + 7, i + 6 + ticks do
                if redis.call('HSETNX', KEYS[3], ARGV[tick], 'p|1|') == 1 then
                    redis.call('ZADD', KEYS[4], deadline, ARGV[tick])
                    opened[#opened + 1] = ARGV[tick]
                end
            end
            if missed ~= '' and type(redis.pcall('LPUSH', history .. job, missed)) == 'number' then
                redis.call('LTRIM', history .. job, 0, keep - 1)
                redis.call('EXPIRE', history .. job, ttl)
            end
        end
        i = i + 7 + ticks
    end
    return opened
    """


@script
def _open() -> int:  # type: ignore[empty-body]
    """
    if redis.call('HSETNX', KEYS[1], ARGV[1], 'p|1|') == 0 then return 0 end
    redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
    return 1
    """


@script
def _claim() -> list[list[str]]:  # type: ignore[empty-body]
    """
    local holder, lease, prefix = ARGV[1], ARGV[2], ARGV[3]
    local granted = {}
    for i = 4, #ARGV, 2 do
        local id = ARGV[i]
        local open = redis.call('HGET', KEYS[1], id)
        if open then
            local state, attempt, owner = string.match(open, '^(%a)|(%d+)|(.*)$')
            if state == 'p' or owner == holder then
                local job = redis.pcall('HGET', prefix .. ARGV[i+1], 'job')
                if type(job) == 'string' then
                    local running = 'r|' .. attempt .. '|' .. holder
                    redis.call('HSET', KEYS[1], id, running)
                    redis.call('ZADD', KEYS[2], lease, id)
                    granted[#granted + 1] = {id, running, job}
                else
                    redis.call('HDEL', KEYS[1], id)
                    redis.call('ZREM', KEYS[2], id)
                end
            end
        end
    end
    return granted
    """


@script
def _renew() -> list[str]:  # type: ignore[empty-body]
    """
    local lost = {}
    for i = 3, #ARGV do
        local open = redis.call('HGET', KEYS[1], ARGV[i])
        if open and string.match(open, '^r|%d+|(.*)$') == ARGV[1] then
            redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i])
        else
            lost[#lost + 1] = ARGV[i]
        end
    end
    return lost
    """


@script
def _finish() -> list[str]:  # type: ignore[empty-body]
    """
    local prefix, history, keep, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
    local closed = {}
    local function remember(list, item, most)
        if type(redis.pcall('LPUSH', list, item)) == 'number' then
            redis.call('LTRIM', list, 0, most - 1)
            redis.call('EXPIRE', list, ttl)
        end
    end
    local i = 5
    while ARGV[i] do
        local id, job, messages = ARGV[i], ARGV[i+1], tonumber(ARGV[i+4])
        if redis.call('HGET', KEYS[1], id) == ARGV[i+2] then
            redis.call('HDEL', KEYS[1], id)
            redis.call('ZREM', KEYS[2], id)
            if redis.call('EXISTS', prefix .. job) == 1 then
                remember(history .. job, ARGV[i+3], keep)
            end
            for m = i + 5, i + 3 + 2 * messages, 2 do
                if type(redis.pcall('RPUSH', ARGV[m], ARGV[m+1])) ~= 'number' then
                    remember(KEYS[3], ARGV[m] .. ' ' .. ARGV[m+1], 1000)
                end
            end
            closed[#closed + 1] = id
        end
        i = i + 5 + 2 * messages
    end
    return closed
    """


@script
def _overdue() -> list[list[str]]:  # type: ignore[empty-body]
    """
    local rows = {}
    local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, id in ipairs(due) do
        local open = redis.call('HGET', KEYS[2], id)
        if open then
            local job = redis.pcall('HGET', ARGV[3] .. (string.match(id, '^(.*)@') or ''), 'job')
            rows[#rows + 1] = {id, open, type(job) == 'string' and job or ''}
        else
            redis.call('ZREM', KEYS[1], id)
        end
    end
    return rows
    """


@script
def _hand_back() -> int:  # type: ignore[empty-body]
    """
    for i = 3, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i+1] then
            local attempt = tonumber(string.match(ARGV[i+1], '|(%d+)|')) + tonumber(ARGV[2])
            redis.call('HSET', KEYS[1], ARGV[i], 'p|' .. attempt .. '|')
            redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
        end
    end
    return 1
    """
