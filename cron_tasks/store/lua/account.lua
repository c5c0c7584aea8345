--! uses store/fold
-- Return whether a record covers a stretch of fire times.
local function is_stretch(record)
    return string.find(record, '"until":', 1, true) or string.find(record, '^{"from":')
end

-- Write a separate record for the audit, about a fire time that did not end ok. It replaces the
-- last record of that fire time. If the run ended twice and nobody had asked for that, the record
-- has `twice`. The record of a stretch is not replaced, because it covers other fire times, too.
local function account(key, fire_time, record, ttl, now)
    local known = redis.pcall('ZRANGEBYSCORE', key, fire_time, fire_time)
    if known.err then return end
    if is_stretch(record) then known = {} end
    local is_run = string.find(record, '^{"run_id":')
    for _, earlier in ipairs(known) do
        if not is_stretch(earlier) then
            redis.call('ZREM', key, earlier)
            if is_run and not string.find(record, '"by_hand":true', 1, true) then
                record = string.sub(record, 1, -2) .. ',"twice":true}'
                is_run = false
            end
        end
    end
    redis.call('ZADD', key, fire_time, record)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. (now - ttl))
    redis.call('EXPIRE', key, ttl)
    if redis.call('ZCARD', key) > 1000 then fold(key, ttl, now) end
end
