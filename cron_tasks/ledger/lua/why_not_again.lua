-- Return why a run must not be retried, or nil: it has a cancel reason, or its job is gone or
-- paused. A pause does not stop a manual run.
--! keys stop
--! prefixes job_entry
--! uses ledger/state ledger/is_registered
local function why_not_again(run_id, state, job_id)
    local reason = redis.call('HGET', stop, run_id)
    if reason then return reason end
    local job, paused = unpack(redis.pcall('HMGET', job_entry_prefix .. job_id, 'job', 'paused'))
    if not job and not is_listed(job_id) then return 'removed|' end
    return paused and not has_flag(state, BY_HAND) and 'paused|' or nil
end
