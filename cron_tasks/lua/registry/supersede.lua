--! uses shared/trim
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
        trim(list, line)
        redis.call('EXPIRE', list, days)
    end
    local due = redis.call('ZSCORE', KEYS[1], key)
    if due and tonumber(due) <= tonumber(now) then
        account(ARGV[5] .. job, due, '{"from": ' .. due .. ', ' .. overtaken, days, now)
    end
end
