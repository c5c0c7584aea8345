-- Turn the skips of a job that the version before stored into those of this version.
-- That version wrote the record of a skipped fire time at once, and moved the score of the entry
-- on. So the record is taken out of the account, and the score moves back to the first skip.
--! keys schedule
--! prefixes account
--! args now
--! uses registry/store_skip
local function adopt_skips(job_id, key)
    local account_key = account_prefix .. job_id
    -- Where the account is a key of another type, there is nothing to adopt.
    local coming = redis.pcall('ZRANGEBYSCORE', account_key, '(' .. now, '+inf', 'WITHSCORES')
    local first_skip
    for n = 1, #coming, 2 do
        local line, fire_time = coming[n], coming[n+1]
        local is_json, record = pcall(cjson.decode, line)
        if is_json and record.run_id and record.reason == 'by_hand' then
            redis.call('ZREM', account_key, line)
            store_skip(record.run_id, fire_time)
            first_skip = first_skip or tonumber(fire_time)
        end
    end
    local due = first_skip and redis.call('ZSCORE', schedule, key)
    if due and first_skip < tonumber(due) then redis.call('ZADD', schedule, first_skip, key) end
end
