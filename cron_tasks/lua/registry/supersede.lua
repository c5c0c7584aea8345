--! uses shared/account shared/trim registry/fired
local now, clock = ARGV[1], tonumber(ARGV[1])
local days, prefix, overtaken = tonumber(ARGV[2]), ARGV[3], ARGV[6]
-- What the caller has to tell of: of each job whose ticks a change overtakes its id, the first of
-- them, up to when they were due, its document, and what its account says of them.
local passed = {}
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
        local line = '{"from": ' .. due .. ', ' .. overtaken
        account(ARGV[5] .. job, due, line, days, now)
        for _, each in ipairs({job, due, at, redis.call('HGET', key, 'job') or '', line}) do
            passed[#passed + 1] = each
        end
    end
end
