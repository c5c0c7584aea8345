local rows = {}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do
    local open = redis.call('HGET', KEYS[2], id)
    if open then
        local key = ARGV[3] .. (string.match(id, '^(.*)@') or '')
        local job = redis.pcall('HMGET', key, 'job', 'paused')
        if job.err then job = {} end
        -- A pause does not stop what a person asked for.
        local paused = job[2] and not string.find(open, '^%a|%d+|%a*h') and 'paused|'
        local why = redis.call('HGET', KEYS[3], id) or paused or ''
        local trace = redis.call('HGET', KEYS[4], id) or ''
        rows[#rows + 1] = {id, open, job[1] or '', trace, why}
    else
        redis.call('ZREM', KEYS[1], id)
    end
end
return rows
