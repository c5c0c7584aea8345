--! uses store/fold
-- What became of a tick other than "ok", as a record of its own for the audit; the last word on it
-- counts, and says when the tick ended twice without being asked for again by hand. The record of a
-- stretch of ticks stays: it speaks of the others, too.
local function account(key, when, line, ttl, now)
    local known = redis.pcall('ZRANGEBYSCORE', key, when, when)
    if known.err then return end
    local alone = string.find(line, '^{"run_id":') and not string.find(line, '"until":', 1, true)
    for _, old in ipairs(known) do
        local stretch = string.find(old, '"until":', 1, true) or string.find(old, '^{"from":')
        if not stretch then
            redis.call('ZREM', key, old)
            if alone and not string.find(line, '"by_hand":true', 1, true) then
                line = string.sub(line, 1, -2) .. ',"twice":true}'
                alone = false
            end
        end
    end
    redis.call('ZADD', key, when, line)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. (now - ttl))
    redis.call('EXPIRE', key, ttl)
    if redis.call('ZCARD', key) > 1000 then fold(key, ttl, now) end
end
