-- Return the batches whose deadline has passed, each as id and record.
--! keys batches deadlines
--! args now
local overdue = {}
for _, batch in ipairs(redis.call('HKEYS', batches)) do
    local deadline = redis.call('ZSCORE', deadlines, batch)
    if deadline and tonumber(deadline) <= tonumber(now) then
        overdue[#overdue + 1] = {batch, redis.call('HGET', batches, batch)}
    end
end
return overdue
