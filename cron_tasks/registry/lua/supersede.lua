--! uses store/account store/trim registry/fired
local now, clock = ARGV[1], tonumber(ARGV[1])
local days, prefix, overtaken = tonumber(ARGV[2]), ARGV[3], ARGV[6]
-- Return the time in the meta of an entry; reading it is the most costly part of a change.
local function last_run(old)
    old.last_run = old.last_run or fired(old[4])
    return old.last_run
end
-- Return the last tick that an entry has fired or missed, 0 for none. Each edit and pause keeps it
-- in `ticked`. After that, and in an entry that was never changed, the meta tells it. An entry of an
-- earlier version has no `ticked`; its meta may tell the time of an edit, which is later. Where the
-- meta tells no time, what is due shows which nominal times are over by now.
local function last_tick(key, old)
    if not old[1] then return 0 end
    local at = last_run(old)
    local due = at == 0 and redis.call('ZSCORE', KEYS[1], key)
    if due then
        local jitter = tonumber(string.match(old[1], '"j":(%d+)') or 0)
        return math.max(0, math.min(tonumber(due) - jitter - 0.000001, clock))
    end
    if at > (tonumber(old[2] or 0) or 0) + 0.000001 then return at end
    local never = string.find(old[4] or '', '"total_run_count": 0}', 1, true)
    return tonumber(old[5] or '') or (never and 0 or at)
end
-- Have an entry count from `since` on, and keep its last tick.
local function count_since(key, since, ticked)
    redis.call('HSET', key, 'since', since)
    if ticked > 0 then redis.call('HSET', key, 'ticked', string.format('%.6f', ticked)) end
end
-- What the caller has to tell of: of each job whose ticks a change overtakes its id, the first of
-- them, up to when they were due, its document, and what its account says of them.
local passed = {}
-- Return up to when ticks of an entry may have fired: its last tick, or since when it counts.
local function settled(old)
    if not old[1] then return 0 end
    return math.max(last_run(old), tonumber(old[2] or 0) or 0)
end
-- Return since when a change counts, as text: now, but not before `last`, whatever clock the caller
-- has.
local function counts_from(last)
    return last > clock and string.format('%.6f', last) or now
end
-- Account for the ticks of a job that were to be skipped and that a change overtakes.
local function skipped_meanwhile(job, from, to)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[11], from, to)) do
        if string.match(id, '^(.*)@') == job then
            local line = '{"run_id":' .. cjson.encode(id) .. ',"status":"skipped",'
                .. '"reason":"by_hand","attempt":0,"started_at":null,"finished_at":' .. now
                .. ',"worker":null,"error":null}'
            account(ARGV[5] .. job, redis.call('ZSCORE', KEYS[11], id), line, days, now)
            redis.call('ZREM', KEYS[11], id)
        end
    end
end
-- Something else counts after `at` than in `old`: definition, since when, pause, meta, last tick.
local function supersede(job, old, at)
    local key = prefix .. job
    local timing = old[1] and string.match(old[1], '"schedule": .*')
    if timing and old[2] then
        local list = ARGV[4] .. job
        local pause = old[3] and '"paused": ' .. old[3] .. ', ' or ''
        local line = '{"since": ' .. old[2] .. ', "until": ' .. at
            .. string.format(', "ticked": %.6f, ', last_tick(key, old)) .. pause .. timing
        redis.call('LPUSH', list, line)
        trim(list, line)
        redis.call('EXPIRE', list, days)
    end
    local due = redis.call('ZSCORE', KEYS[1], key)
    if due and tonumber(due) <= tonumber(at) then
        local line = '{"from": ' .. due .. ', ' .. overtaken
        account(ARGV[5] .. job, due, line, days, now)
        for _, each in ipairs({job, due, at, redis.call('HGET', key, 'job') or '', line}) do
            passed[#passed + 1] = each
        end
        skipped_meanwhile(job, due, at)
    end
end
