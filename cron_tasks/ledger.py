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
        opened = _advance(self.redis, keys, args)
        if opened is None:
            raise LockLost
        return opened

    def open(self, run_id: str, now: float) -> bool:
        """Put a tick asked for by hand into the ledger; False when it is there already."""
        return bool(_open(self.redis, [names.OPEN, names.DEADLINES], [run_id, now + PATIENCE]))

    def claim(self, holder: str, now: float, run_ids: Sequence[tuple[str, str]]) -> list[Claim]:
        """Those of the (run id, job id) that are now `holder`'s to run, each with a lease.

        Not among them: ticks that are finished, that another holds, or whose job was removed.
        """
        if not run_ids:
            return []
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
        if not outcomes:
            return []
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

    def newest(self, job_ids: Sequence[str]) -> list[str | None]:
        """The newest record of each of these jobs, None where there is none; one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.lindex(names.HISTORY_PREFIX + job_id, 0)
            rows = pipe.execute(raise_on_error=False)
        return [None if isinstance(row, Exception) else row for row in rows]


@script
def _advance() -> list[str] | None:
    """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
    local deadline, history, keep, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
    local rows, entries = {}, {}
    local i = 6
    while ARGV[i] do
        rows[#rows + 1] = i
        entries[#entries + 1] = ARGV[i]
        i = i + 7 + tonumber(ARGV[i+6])
    end
    local scores = redis.call('ZMSCORE', KEYS[2], unpack(entries))
    local whole = redis.call('EXISTS', unpack(entries)) == #entries
    local moved, over, opened, deadlines = {}, {}, {}, {}
    for n, at in ipairs(rows) do
        local there = whole or redis.call('EXISTS', entries[n]) == 1
        if there and scores[n] and tonumber(scores[n]) == tonumber(ARGV[at+1]) then
            local key, upcoming, job, missed = ARGV[at], ARGV[at+2], ARGV[at+4], ARGV[at+5]
            if upcoming == '' then
                over[#over + 1] = key
            else
                moved[#moved + 1] = upcoming
                moved[#moved + 1] = key
            end
            redis.call('HSET', key, 'meta', ARGV[at+3])
            for tick = at + 7, at + 6 + tonumber(ARGV[at+6]) do
                if redis.call('HSETNX', KEYS[3], ARGV[tick], 'p|1|') == 1 then
                    deadlines[#deadlines + 1] = deadline
                    deadlines[#deadlines + 1] = ARGV[tick]
                    opened[#opened + 1] = ARGV[tick]
                end
            end
            if missed ~= '' and redis.call('TYPE', history .. job).ok ~= 'string' then
                redis.call('LPUSH', history .. job, missed)
                redis.call('LTRIM', history .. job, 0, keep - 1)
                redis.call('EXPIRE', history .. job, ttl)
            end
        end
    end
    if #moved > 0 then redis.call('ZADD', KEYS[2], unpack(moved)) end
    if #over > 0 then redis.call('ZREM', KEYS[2], unpack(over)) end
    for n = 1, #deadlines, 1000 do
        redis.call('ZADD', KEYS[4], unpack(deadlines, n, math.min(n + 999, #deadlines)))
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
    local ids, granted, running, leases, gone = {}, {}, {}, {}, {}
    for i = 4, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
    for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
        local state, attempt, owner = string.match(open or '', '^(%a)|(%d+)|(.*)$')
        if state == 'p' or owner == holder then
            local job = redis.pcall('HGET', prefix .. ARGV[3 + 2 * n], 'job')
            if type(job) == 'string' then
                local claimed = 'r|' .. attempt .. '|' .. holder
                running[#running + 1] = ids[n]
                running[#running + 1] = claimed
                leases[#leases + 1] = lease
                leases[#leases + 1] = ids[n]
                granted[#granted + 1] = {ids[n], claimed, job}
            else
                gone[#gone + 1] = ids[n]
            end
        end
    end
    if #granted > 0 then
        redis.call('HSET', KEYS[1], unpack(running))
        redis.call('ZADD', KEYS[2], unpack(leases))
    end
    if #gone > 0 then
        redis.call('HDEL', KEYS[1], unpack(gone))
        redis.call('ZREM', KEYS[2], unpack(gone))
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
    local prefix, history, keep, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
    local rows, ids, closed, queues = {}, {}, {}, {}
    local function push(command, list, ...)
        local length = redis.pcall(command, list, ...)
        if type(length) == 'number' then return length end
        if not string.find(length.err, 'WRONGTYPE', 1, true) then error(length) end
    end
    local function remember(list, item, most)
        local length = push('LPUSH', list, item)
        if length then
            if length > most then redis.call('LTRIM', list, 0, most - 1) end
            redis.call('EXPIRE', list, ttl)
        end
    end
    local i = 5
    while ARGV[i] do
        rows[#rows + 1] = i
        ids[#ids + 1] = ARGV[i]
        i = i + 5 + 2 * tonumber(ARGV[i+4])
    end
    for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
        local at = rows[n]
        if open == ARGV[at+2] then
            if redis.call('EXISTS', prefix .. ARGV[at+1]) == 1 then
                remember(history .. ARGV[at+1], ARGV[at+3], keep)
            end
            for m = at + 5, at + 3 + 2 * tonumber(ARGV[at+4]), 2 do
                local queue = queues[ARGV[m]] or {}
                queue[#queue + 1] = ARGV[m+1]
                queues[ARGV[m]] = queue
            end
            closed[#closed + 1] = ids[n]
        end
    end
    for queue, messages in pairs(queues) do
        if not push('RPUSH', queue, unpack(messages)) then
            for _, message in ipairs(messages) do
                remember(KEYS[3], queue .. ' ' .. message, 1000)
            end
        end
    end
    if #closed > 0 then
        redis.call('HDEL', KEYS[1], unpack(closed))
        redis.call('ZREM', KEYS[2], unpack(closed))
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
