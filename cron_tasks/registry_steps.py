"""The registry's changes as Lua: each changes a job, its due time and its past in one step.

A job's `since` says from when on its timing counts; what counted before goes to its versions, so
that an audit knows which ticks to expect. Ticks that a change overtakes, due but not yet fired, are
accounted for as missed. Every script gets the same keys (schedule, jobs, set aside, wake, removed,
failing, edits) and the same first arguments (now, seconds kept for the audit, prefixes of entries,
versions and accounts, and how the record of overtaken ticks ends).
"""

from cron_tasks.ledger_parts import account, wake
from cron_tasks.scripts import script


def supersede() -> None:
    """
    local now, days, prefix, overtaken = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[6]
    -- Something else counts from now on than in `old`: definition, since when, and its pause.
    local function supersede(job, old)
        local key = prefix .. job
        local timing = old[1] and string.match(old[1], '"schedule": .*')
        if timing and old[2] then
            local list = ARGV[4] .. job
            local pause = old[3] and '"paused": ' .. old[3] .. ', ' or ''
            local line = '{"since": ' .. old[2] .. ', "until": ' .. now .. ', ' .. pause .. timing
            redis.call('LPUSH', list, line)
            redis.call('LTRIM', list, 0, 999)
            redis.call('EXPIRE', list, days)
        end
        local due = redis.call('ZSCORE', KEYS[1], key)
        if due and tonumber(due) <= tonumber(now) then
            account(ARGV[5] .. job, due, '{"from": ' .. due .. ', ' .. overtaken, days, now)
        end
    end
    """


@script(account, wake, supersede)
def put() -> int:  # type: ignore[empty-body]
    """
    local fingerprints, keys, due, kept, over = {}, {}, {}, {}, {}
    local aside, edits = redis.call('EXISTS', KEYS[3]) == 1, redis.pcall('INCR', KEYS[7])
    if type(edits) ~= 'number' then
        redis.call('SET', KEYS[7], 1)
        edits = 1
    end
    for i = 8, #ARGV, 6 do
        local key, timing, upcoming = prefix .. ARGV[i], ARGV[i+2], ARGV[i+5]
        local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta', 'edit')
        if old.err then
            redis.call('DEL', key)
            old = {}
        end
        local since, meta, edit, scores = old[2], old[4], old[5], kept
        if not (old[1] and meta and string.find(old[1], timing, 1, true)) then
            local runs = meta and string.match(meta, '"total_run_count": (%d+)') or '0'
            meta = '{"last_run_at": ' .. ARGV[7] .. ', "total_run_count": ' .. runs .. '}'
            if old[1] then
                supersede(ARGV[i], old)
                if upcoming == '' then over[#over + 1] = key end
            end
            since, edit, scores = now, edits, due
        elseif aside and redis.call('HEXISTS', KEYS[3], key) == 1 then
            supersede(ARGV[i], old)
            since = now
        end
        if upcoming ~= '' and not old[3] then
            scores[#scores + 1] = upcoming
            scores[#scores + 1] = key
        end
        redis.call('HSET', key, 'definition', ARGV[i+3], 'meta', meta, 'job', ARGV[i+4],
            'since', since or now, 'edit', edit or edits)
        keys[#keys + 1] = key
        fingerprints[#fingerprints + 1] = ARGV[i]
        fingerprints[#fingerprints + 1] = ARGV[i+1]
    end
    if #due > 0 then redis.call('ZADD', KEYS[1], unpack(due)) end
    if #kept > 0 then redis.call('ZADD', KEYS[1], 'NX', unpack(kept)) end
    if #over > 0 then redis.call('ZREM', KEYS[1], unpack(over)) end
    redis.call('HSET', KEYS[2], unpack(fingerprints))
    redis.call('HDEL', KEYS[3], unpack(keys))
    wake(KEYS[4])
    return 1
    """


@script(account, supersede)
def remove() -> int:  # type: ignore[empty-body]
    """
    for i = 8, #ARGV do
        local key = prefix .. ARGV[i]
        local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused')
        supersede(ARGV[i], old.err and {} or old)
        redis.call('ZADD', KEYS[5], now, ARGV[i])
        redis.call('ZREM', KEYS[1], key)
        redis.call('DEL', key, ARGV[7] .. ARGV[i])
        redis.call('HDEL', KEYS[2], ARGV[i])
        redis.call('HDEL', KEYS[3], key)
        redis.call('HDEL', KEYS[6], ARGV[i])
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', '(' .. (now - days))
    redis.call('EXPIRE', KEYS[5], days)
    return 1
    """


@script(account, supersede)
def pause() -> int:  # type: ignore[empty-body]
    """
    local key = prefix .. ARGV[7]
    local old = redis.call('HMGET', key, 'definition', 'since', 'paused')
    if not old[1] then return 0 end
    if not old[3] then
        supersede(ARGV[7], old)
        redis.call('HSET', key, 'since', now)
        redis.call('ZREM', KEYS[1], key)
    end
    redis.call('HSET', key, 'paused', ARGV[8])
    return 1
    """


@script(account, wake, supersede)
def resume() -> int:  # type: ignore[empty-body]
    """
    local key = prefix .. ARGV[7]
    local old = redis.call('HMGET', key, 'definition', 'since', 'paused')
    if not old[3] then return 0 end
    supersede(ARGV[7], old)
    redis.call('HSET', key, 'since', now)
    redis.call('HDEL', key, 'paused')
    if ARGV[8] ~= '' then
        redis.call('ZADD', KEYS[1], ARGV[8], key)
        wake(KEYS[4])
    end
    return 1
    """


@script(account)
def skip() -> int:  # type: ignore[empty-body]
    """
    local key, due = ARGV[3] .. ARGV[7], redis.call('ZSCORE', KEYS[1], ARGV[3] .. ARGV[7])
    if not due or tonumber(due) ~= tonumber(ARGV[8]) then return 0 end
    if ARGV[9] == '' then
        redis.call('ZREM', KEYS[1], key)
    else
        redis.call('ZADD', KEYS[1], ARGV[9], key)
    end
    account(ARGV[5] .. ARGV[7], due, ARGV[10], tonumber(ARGV[2]), ARGV[1])
    return 1
    """
