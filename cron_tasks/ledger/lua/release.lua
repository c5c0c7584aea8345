--! uses store/older
-- Return the run of a job that is queued, if there is one, and take it out of its queue: the earlier
-- of the one that its policy keeps and of those that stand in line to make up for missed ticks.
local function dequeue(job)
    local line, kept = ARGV[12] .. job, redis.call('HGET', KEYS[8], job)
    local function queued(id)
        local open = id and redis.call('HGET', KEYS[1], id)
        return open and string.find(open, '^q') and open
    end
    if kept and not queued(kept) then
        redis.call('HDEL', KEYS[8], job)
        kept = false
    end
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    while first and not queued(first .. 'Z') do
        redis.call('ZREM', line, first)
        first = redis.call('ZRANGE', line, 0, 0)[1]
    end
    if first and not (kept and older(kept, first .. 'Z')) then
        redis.call('ZREM', line, first)
        return first .. 'Z', queued(first .. 'Z')
    end
    if kept then redis.call('HDEL', KEYS[8], job) end
    return kept, queued(kept)
end

-- Give the place of a run that ended to the one that is queued behind it; true when one is.
local function release(id, job, now)
    redis.call('HDEL', KEYS[9], id)
    if redis.call('HGET', KEYS[7], job) ~= id then return false end
    redis.call('HDEL', KEYS[7], job)
    local waiting, open = dequeue(job)
    if not waiting then return false end
    redis.call('HSET', KEYS[7], job, waiting)
    redis.call('HSET', KEYS[1], waiting, 'w' .. string.sub(open, 2))
    redis.call('ZADD', KEYS[2], now, waiting)
    return true
end
