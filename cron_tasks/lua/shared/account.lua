--! uses shared/fold
-- What became of a tick other than "ok", as a record of its own for the audit; the last word on it
-- counts. The record of a stretch of ticks stays: it speaks of the others, too.
local function account(key, when, line, ttl, now)
    local known = redis.pcall('ZRANGEBYSCORE', key, when, when)
    if known.err then return end
    for _, old in ipairs(known) do
        local stretch = string.find(old, '"until":', 1, true) or string.find(old, '^{"from":')
        if not stretch then redis.call('ZREM', key, old) end
    end
    redis.call('ZADD', key, when, line)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. (now - ttl))
    redis.call('EXPIRE', key, ttl)
    if redis.call('ZCARD', key) > 1000 then fold(key, ttl, now) end
end
