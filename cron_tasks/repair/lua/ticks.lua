-- Look at a page of open ticks: how many have no deadline. With 'mend' they get one, as if they had
-- been put into their state now; a waiting attempt is due at once.
local open, deadlines = KEYS[1], KEYS[2]
local cursor, count, mend = ARGV[1], ARGV[2], ARGV[3]
local now, patience, lease = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local prefix, timeout = ARGV[7], ARGV[8]
-- Nobody renews the lease of a run that a Celery task does: it has its job's timeout.
local function until_when(id, state)
    local kind = string.sub(state, 1, 1)
    if kind == 'w' then return now end
    if kind == 'p' then return now + patience end
    if not string.find(state, '|task:', 1, true) then return now + lease end
    local job = redis.pcall('HGET', prefix .. (string.match(id, '^(.*)@') or ''), 'job')
    return now + (type(job) == 'string' and string.match(job, '"timeout":(%d+%.?%d*)') or timeout)
end
local page = redis.call('HSCAN', open, cursor, 'COUNT', count)
local lacking = 0
for n = 1, #page[2], 2 do
    local id, state = page[2][n], page[2][n+1]
    if not redis.call('ZSCORE', deadlines, id) then
        lacking = lacking + 1
        if mend ~= '' then redis.call('ZADD', deadlines, until_when(id, state), id) end
    end
end
return {page[1], lacking}
