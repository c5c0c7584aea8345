-- Look at a page of all keys: which entries of jobs are not in the index, by their ids.
local jobs = KEYS[1]
local cursor, count, prefix = ARGV[1], ARGV[2], ARGV[3]
local page = redis.call('SCAN', cursor, 'MATCH', prefix .. '*', 'COUNT', count)
local orphans = {}
for _, key in ipairs(page[2]) do
    local id = string.sub(key, #prefix + 1)
    if redis.call('HEXISTS', jobs, id) == 0 then orphans[#orphans + 1] = id end
end
return {page[1], orphans}
