-- Store why an open run should end, and make sure that somebody ends it. The worker that runs it
-- finds the reason when it renews its lease. The sweep ends any other run, whose deadline is
-- therefore now.
--! keys deadlines stop
--! uses ledger/state
local function ask_to_end(run_id, state, reason)
    local removed = reason == 'removed|'
    -- A reason that a person gave takes precedence over the removal of the job.
    redis.call(removed and 'HSETNX' or 'HSET', stop, run_id, reason)
    redis.call('EXPIRE', stop, 86400)
    -- A run that is in flight when its job is removed continues, but is not retried. A worker ends its
    -- own runs, and the sweep ends delegated ones.
    if is_kind(state, RUNNING) and (removed or not is_delegated(state)) then return end
    redis.call('ZADD', deadlines, 0, run_id)
end
