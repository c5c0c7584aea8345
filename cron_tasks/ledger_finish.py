"""The last step of the ledger as Lua: a run ends, or waits for its next attempt."""

from cron_tasks.ledger_parts import account, remember, tell, wake
from cron_tasks.scripts import script


def streak() -> None:
    """
    -- Failures in a row, this one included; of a success those before it.
    local function streak(key, job, status)
        if status == 'failed' then return redis.call('HINCRBY', key, job, 1) end
        local before = tonumber(redis.call('HGET', key, job) or 0)
        if before > 0 then redis.call('HDEL', key, job) end
        return before
    end
    local function wanted(condition, count)
        if condition == '' then return true end
        if condition == 'recovered' then return count > 0 end
        return count == 1 or count % tonumber(condition) == 0
    end
    """


def gather() -> None:
    """
    -- Put what the outcome at `at` tells after `count` failures in a row to its queues.
    local function gather(at, count, queues)
        for m = at + 7, at + 6 + 3 * tonumber(ARGV[at+6]), 3 do
            if wanted(ARGV[m+2], count) then
                local queue = queues[ARGV[m]] or {}
                queue[#queue + 1] = ARGV[m+1]
                queues[ARGV[m]] = queue
            end
        end
    end
    """


def put_off() -> None:
    """
    -- A run waits until `due` for its next attempt; `trace` is what failed so far.
    local function put_off(id, open, trace, due)
        local attempt, flags = string.match(open, '|(%d+)|(%a*)|')
        redis.call('HSET', KEYS[10], id, trace)
        redis.call('HSET', KEYS[1], id, 'w|' .. attempt + 1 .. '|' .. flags .. '|')
        redis.call('ZADD', KEYS[2], due, id)
    end
    """


def settle() -> None:
    """
    -- Account for a tick that ended: one that went well as a day's count, any other in full.
    local counts = ARGV[5]
    local function settle(job, tag, record, days)
        local day, sum = string.match(tag, '^(%d+):(%d+)$')
        if day then
            redis.call('HINCRBY', counts .. day, job, sum)
            days[day] = true
        else
            account(ARGV[4] .. job, tag, record, ARGV[8], ARGV[1])
        end
    end
    """


def release() -> None:
    """
    -- A run that ended makes room for the one that waits for its end; true when one does.
    local function release(id, job, now)
        redis.call('HDEL', KEYS[9], id)
        if redis.call('HGET', KEYS[7], job) ~= id then return false end
        redis.call('HDEL', KEYS[7], job)
        local waiting = redis.call('HGET', KEYS[8], job)
        if not waiting then return false end
        redis.call('HDEL', KEYS[8], job)
        local open = redis.call('HGET', KEYS[1], waiting)
        if not (open and string.find(open, '^q')) then return false end
        redis.call('HSET', KEYS[1], waiting, 'w' .. string.sub(open, 2))
        redis.call('ZADD', KEYS[2], now, waiting)
        return true
    end
    """


def close() -> None:
    """
    -- Ended runs are open no more; the failed ones are in the dead list.
    local function close(ids, records, failed)
        if #failed > 0 then
            redis.call('ZADD', KEYS[5], unpack(failed))
            redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -10001)
            redis.call('EXPIRE', KEYS[5], ARGV[7])
        end
        remember(KEYS[4], 10000, ARGV[7], unpack(records))
        redis.call('HDEL', KEYS[1], unpack(ids))
        redis.call('ZREM', KEYS[2], unpack(ids))
        redis.call('HDEL', KEYS[10], unpack(ids))
    end
    """


@script(remember, tell, account, wake, streak, gather, put_off, settle, release, close)
def finish() -> list[str]:  # type: ignore[empty-body]
    """
    local now, prefix, history, keep, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6]), ARGV[7]
    local rows, ids, entries, refused, closed = {}, {}, {}, {}, {}
    local queues, records, failed, reports, counted, ended, again = {}, {}, {}, {}, {}, 0, false
    local i = 12
    while ARGV[i] do
        rows[#rows + 1] = i
        ids[#ids + 1] = ARGV[i]
        entries[#entries + 1] = prefix .. ARGV[i+1]
        i = i + 7 + 3 * tonumber(ARGV[i+6])
    end
    local whole = redis.call('EXISTS', unpack(entries)) == #entries
    local failing, dead = redis.call('EXISTS', KEYS[6]) == 1, redis.call('EXISTS', KEYS[5]) == 1
    local busy = redis.call('EXISTS', KEYS[7], KEYS[9]) > 0
    for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
        local at = rows[n]
        if open == ARGV[at+2] then
            local job, record, status, tag = ARGV[at+1], ARGV[at+3], ARGV[at+4], ARGV[at+5]
            local there = whole or redis.call('EXISTS', entries[n]) == 1
            local count = 0
            if there and (status == 'failed' or (failing and status == 'ok')) then
                count = streak(KEYS[6], job, status)
            end
            gather(at, count, queues)
            if status == 'retry' then
                put_off(ids[n], open, record, tag)
                again = true
            else
                if there then remember(history .. job, keep, ttl, record) end
                settle(job, tag, record, counted)
                if status == 'failed' then
                    failed[#failed + 1] = now
                    failed[#failed + 1] = ids[n]
                elseif dead and string.find(open, '^r|%d+|%a*r') then
                    redis.call('ZREM', KEYS[5], ids[n])
                end
                ended = ended + 1
                records[ended], closed[ended] = record, ids[n]
                if ARGV[11] ~= '' then
                    reports[#reports + 1] = now
                    reports[#reports + 1] = job
                end
                if busy then busy = release(ids[n], job, now) and 'woken' or busy end
            end
        else
            refused[#refused + 1] = ids[n]
        end
    end
    tell(queues, ARGV[9] ~= '', tonumber(ARGV[10]), KEYS[3], KEYS[11])
    for day in pairs(counted) do redis.call('EXPIRE', ARGV[5] .. day, ARGV[8]) end
    if again or busy == 'woken' then wake(KEYS[12]) end
    if #reports > 0 then redis.call('ZADD', KEYS[13], unpack(reports)) end
    if ended > 0 then close(closed, records, failed) end
    return refused
    """
