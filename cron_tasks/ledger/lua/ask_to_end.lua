-- Note why an open run should end, and see that somebody ends it: the worker that runs it finds the
-- reason when it renews its lease, and the sweep ends any other run, which is therefore due now.
--! keys deadlines stop
--! uses ledger/state
local function ask_to_end(run_id, state, reason)
    local removed = reason == 'removed|'
    -- A reason that somebody gave counts for more than that the job was removed.
    redis.call(removed and 'HSETNX' or 'HSET', stop, run_id, reason)
    redis.call('EXPIRE', stop, 86400)
    -- A run that is in flight when its job is removed goes on, and is only kept from a retry.
    -- A worker ends what it runs itself. What a Celery task does, the sweep ends.
    if is_kind(state, RUNNING) and (removed or not is_delegated(state)) then return end
    redis.call('ZADD', deadlines, 0, run_id)
end
