-- Return the batches whose deadline has passed, each as id and record.
--! keys batches deadlines
--! args now
local overdue = {}
for _, batch in ipairs(redis.call('HKEYS', batches)) do
    local deadline = redis.call('ZSCORE', deadlines, batch)
    if deadline and tonumber(deadline) <= tonumber(now) then
        local record = redis.call('HGET', batches, batch)
        if string.match(record, '^%d+ %d+ [%d.]+ [^\n]*\n%[') then
            overdue[#overdue + 1] = {batch, record}
        else
            -- Another program has written it.
            redis.call('HDEL', batches, batch)
            redis.call('ZREM', deadlines, batch)
        end
    end
end
return overdue
