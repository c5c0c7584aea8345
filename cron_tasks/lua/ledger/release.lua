-- Give the place of a run that ended to the one that is queued behind it; true when one is.
local function release(id, job, now)
    redis.call('HDEL', KEYS[9], id)
    if redis.call('HGET', KEYS[7], job) ~= id then return false end
    redis.call('HDEL', KEYS[7], job)
    local waiting = redis.call('HGET', KEYS[8], job)
    if not waiting then return false end
    redis.call('HDEL', KEYS[8], job)
    local open = redis.call('HGET', KEYS[1], waiting)
    if not (open and string.find(open, '^q')) then return false end
    redis.call('HSET', KEYS[7], job, waiting)
    redis.call('HSET', KEYS[1], waiting, 'w' .. string.sub(open, 2))
    redis.call('ZADD', KEYS[2], now, waiting)
    return true
end
