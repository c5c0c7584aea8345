local due, entries = {}, {}
if ARGV[3] == '' then
    due = redis.call('ZRANGEBYSCORE', KEYS[1], 0, ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
else
    local rank = redis.call('ZRANK', KEYS[1], ARGV[3])
    local more = rank and redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[1]) - rank - 1 or 0
    local last = rank and rank + math.min(more, ARGV[2])
    if more > 0 then due = redis.call('ZRANGE', KEYS[1], rank + 1, last, 'WITHSCORES') end
end
for i = 1, #due, 2 do
    local entry = redis.pcall('HMGET', due[i], 'definition', 'meta', 'job')
    entries[#entries + 1] = entry.err and {} or entry
end
local function after(key)
    local later = '(' .. ARGV[1]
    local first = redis.call('ZRANGEBYSCORE', key, later, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return first[2] or 'inf'
end
local edits = tonumber(redis.call('GET', KEYS[4]) or 0) or 0
-- Without its generation the registry was emptied; without the sync's own entry none would come.
local whole = redis.call('EXISTS', KEYS[2], KEYS[5]) == 2 and redis.call('ZSCORE', KEYS[1], KEYS[5])
local skips = due[2] and redis.pcall('ZRANGEBYSCORE', KEYS[6], due[2], ARGV[1]) or {}
if skips.err then skips = {} end
return {due, entries, edits, after(KEYS[1]), after(KEYS[3]), whole and 1 or 0, skips}
