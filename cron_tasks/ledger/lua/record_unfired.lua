-- Record a fire time, or a stretch of fire times, that will not run, and notify if the job wants
-- that. `skip` is the run id if a person had the fire time skipped. That skip is then removed.
--! keys skips reports
--! prefixes history account
--! args now history_runs history_ttl account_ttl reporting
--! uses store/prepend store/notify store/account
local function record_unfired(job_id, fire_time, record, skip, queue, message)
    if queue ~= '' then notify({[queue] = {message}}) end
    prepend(history_prefix .. job_id, tonumber(history_runs), history_ttl, record)
    account(account_prefix .. job_id, fire_time, record, account_ttl, now)
    if skip ~= '' then
        redis.call('ZREM', skips, skip)
        -- If the service does not want reports, nobody would remove this one.
        if reporting ~= '' then redis.call('ZADD', reports, now, job_id) end
    end
end
