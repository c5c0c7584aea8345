-- If another program deletes the entry of a job, the index still has the job, and a sync writes the
-- entry again. A job that was removed has neither.
--! keys jobs
--! prefixes job_entry

-- Return whether the index has a job.
local function is_listed(job_id)
    return redis.call('HEXISTS', jobs, job_id) == 1
end

-- Return whether a job is registered. Such a job keeps its history.
local function is_registered(job_id)
    return redis.call('EXISTS', job_entry_prefix .. job_id) == 1 or is_listed(job_id)
end
