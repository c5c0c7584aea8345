--! uses registry/keep_skip
-- Store the skips of the version before as those of this one. That version wrote the record of a
-- skipped tick at once, and moved the score of its entry on.
local function adopt(account, schedule, entry, skips, now)
    local old = redis.pcall('ZRANGEBYSCORE', account, '(' .. now, '+inf', 'WITHSCORES')
    local first
    for i = 1, #old, 2 do
        local read, line = pcall(cjson.decode, old[i])
        if read and line.run_id and line.reason == 'by_hand' then
            redis.call('ZREM', account, old[i])
            keep_skip(skips, line.run_id, old[i+1], now)
            first = first or tonumber(old[i+1])
        end
    end
    local due = first and redis.call('ZSCORE', schedule, entry)
    if due and first < tonumber(due) then redis.call('ZADD', schedule, first, entry) end
end
