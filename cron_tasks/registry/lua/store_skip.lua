-- Store that a fire time is to be skipped. Returns false if it is already. If beat never comes to a
-- skip, because its job is paused or gone, the skip is kept for a year: the longest catch-up
-- window.
--! keys skips
--! args now
local function store_skip(run_id, fire_time)
    local kept = 366 * 86400
    if redis.call('ZADD', skips, 'NX', fire_time, run_id) == 0 then return false end
    redis.call('ZREMRANGEBYSCORE', skips, '-inf', '(' .. (now - kept))
    local last = redis.call('ZRANGE', skips, -1, -1, 'WITHSCORES')[2]
    if last then redis.call('EXPIREAT', skips, string.format('%.0f', math.ceil(last) + kept)) end
    return true
end
