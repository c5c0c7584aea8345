-- Return why a run must not be tried again, or nil: somebody wants it to end, or its job is gone or
-- paused. A pause does not stop what a person asked for.
local function unwilling(id, open, entry)
    local why = redis.call('HGET', KEYS[9], id)
    if why then return why end
    local job, paused = unpack(redis.call('HMGET', entry, 'job', 'paused'))
    if not job then return 'removed|' end
    return paused and not string.find(open, '^%a|%d+|%a*h') and 'paused|' or nil
end
