--! uses shared/account shared/trim registry/fired
local now, clock = ARGV[1], tonumber(ARGV[1])
local days, prefix, overtaken = tonumber(ARGV[2]), ARGV[3], ARGV[6]
-- Return up to when ticks of an entry may have fired: its last tick, or since when it counts.
local function settled(old)
    if not old[1] then return 0 end
    return math.max(fired(old[4]), tonumber(old[2] or 0) or 0)
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
-- Something else counts after `at` than in `old`: definition, since when, and its pause.
local function supersede(job, old, at)
    local key = prefix .. job
    local timing = old[1] and string.match(old[1], '"schedule": .*')
    if timing and old[2] then
        local list = ARGV[4] .. job
        local pause = old[3] and '"paused": ' .. old[3] .. ', ' or ''
        local line = '{"since": ' .. old[2] .. ', "until": ' .. at .. ', ' .. pause .. timing
        redis.call('LPUSH', list, line)
        trim(list, line)
        redis.call('EXPIRE', list, days)
    end
    local due = redis.call('ZSCORE', KEYS[1], key)
    if due and tonumber(due) <= tonumber(at) then
        account(ARGV[5] .. job, due, '{"from": ' .. due .. ', ' .. overtaken, days, now)
        skipped_meanwhile(job, due, at)
    end
end
