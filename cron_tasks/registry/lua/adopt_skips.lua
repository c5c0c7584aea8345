-- Convert the skips of a job from the shape of the previous version. That version wrote the record
-- of a skipped fire time at once, and moved the score of the entry on. So the record is removed
-- from the account, and the score moves back to the first skip. A skip that beat has already
-- processed stays in the account, even if the caller's clock is behind.
--! keys schedule
--! prefixes account versions
--! args now
--! uses registry/entry registry/store_skip

-- Return the last fire time that beat has processed for a job, in this version or the previous one.
local function come_to(job_id, key)
    local version = redis.pcall('LINDEX', versions_prefix .. job_id, 0)
    local ticked = type(version) == 'string' and string.match(version, '"ticked": ([%d.]+)')
    return math.max(settled_until(read_entry(job_id, key)), read_time(ticked) or 0)
end

local function adopt_skips(job_id, key)
    local account_key = account_prefix .. job_id
    -- If the account is a key of another type, there is nothing to convert.
    local coming = redis.pcall('ZRANGEBYSCORE', account_key, '(' .. now, '+inf', 'WITHSCORES')
    if coming.err or #coming == 0 then return end
    local settled, first_skip = come_to(job_id, key), nil
    for n = 1, #coming, 2 do
        local line, fire_time = coming[n], coming[n+1]
        local is_json, record = pcall(cjson.decode, line)
        local is_skip = is_json and type(record) == 'table' and type(record.run_id) == 'string'
            and record.reason == 'by_hand'
        if is_skip and tonumber(fire_time) > settled then
            redis.call('ZREM', account_key, line)
            store_skip(record.run_id, fire_time)
            first_skip = first_skip or tonumber(fire_time)
        end
    end
    local due = first_skip and redis.call('ZSCORE', schedule, key)
    if due and first_skip < tonumber(due) then redis.call('ZADD', schedule, first_skip, key) end
end
