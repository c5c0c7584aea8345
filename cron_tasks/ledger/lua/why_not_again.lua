-- Return why a run must not be retried, or nil: it has a cancel reason, or its job is gone or
-- paused. A pause does not stop a manual run.
--! keys stop
--! uses ledger/state
local function why_not_again(run_id, state, entry)
    local reason = redis.call('HGET', stop, run_id)
    if reason then return reason end
    local job, paused = unpack(redis.pcall('HMGET', entry, 'job', 'paused'))
    if not job then return 'removed|' end
    return paused and not has_flag(state, BY_HAND) and 'paused|' or nil
end
