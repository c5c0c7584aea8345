-- Make a run wait until `retry_at` for its next attempt. `failed` is its failed attempts as JSON.
--! keys open deadlines attempts
--! uses ledger/state
local function schedule_retry(run_id, state, failed, retry_at)
    local _, attempt, flags = read_state(state)
    redis.call('HSET', attempts, run_id, failed)
    redis.call('HSET', open, run_id, write_state(WAITING, attempt + 1, flags, ''))
    redis.call('ZADD', deadlines, retry_at, run_id)
end
