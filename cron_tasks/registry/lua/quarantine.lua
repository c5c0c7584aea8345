-- Remove a broken entry from the schedule, and account for its ticks from now on as missed.
-- `job_id` is '' for an entry that does not belong to a job. `counts` are the counter additions of
-- its first tick.
--! keys schedule set_aside jobs
--! prefixes account
--! args key reason job_id audit_ttl counts
--! uses registry/count_edit registry/note_change registry/add_doubt store/add_to_counters
redis.call('HSET', set_aside, key, reason)
local due = redis.call('ZSCORE', schedule, key)
redis.call('ZREM', schedule, key)
if job_id ~= '' then
    if due then
        local line = '{"from": ' .. due .. ', "status": "missed", "reason": "set_aside"}'
        -- A key of another type holds no account.
        redis.pcall('ZADD', account_prefix .. job_id, due, line)
        redis.call('EXPIRE', account_prefix .. job_id, audit_ttl)
        add_to_counters({[counts] = 1})
    end
    -- Without a fingerprint, and with a doubt about the registry, the next sync reads the list and
    -- writes the job again, or removes it. A sync that runs now may have checked the job before.
    redis.call('HSET', jobs, job_id, '')
    add_doubt()
    note_change(job_id, 'rejected', count_edit())
end
return 1
