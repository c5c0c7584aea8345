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
