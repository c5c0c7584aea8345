-- Return whether a job is registered. The index still has a job whose entry another program has
-- deleted, until a sync writes it again. Such a job keeps its history.
--! keys jobs
--! prefixes job_entry
local function is_registered(job_id)
    return redis.call('EXISTS', job_entry_prefix .. job_id) == 1
        or redis.call('HEXISTS', jobs, job_id) == 1
end
