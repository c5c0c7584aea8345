-- Store that a fire time is skipped; false if it is already. A skip that beat never came to, since
-- its job rested or was gone, is kept for as long as the longest catch-up window: a year.
local function keep_skip(skips, id, when, now)
    local kept = 366 * 86400
    if redis.call('ZADD', skips, 'NX', when, id) == 0 then return false end
    redis.call('ZREMRANGEBYSCORE', skips, '-inf', '(' .. (now - kept))
    local last = redis.call('ZRANGE', skips, -1, -1, 'WITHSCORES')[2]
    if last then redis.call('EXPIREAT', skips, string.format('%.0f', math.ceil(last) + kept)) end
    return true
end
