-- Runs that wait until an earlier run of their job ends. They are claimed again after a second
-- anyway. But of many such runs, one after the other would then begin only every second, and a job
-- that fires every second would never catch up.
--! keys open deadlines awaited
--! uses ledger/state

-- Note that a run waits for another one.
local function await(run_id, other)
    redis.call('HSET', awaited, other, run_id)
    redis.call('EXPIRE', awaited, 86400)
end

-- Have the run claimed at `at` that waits for a run which has ended. Returns true if there is one.
local function end_waiting(run_id, at)
    local next_up = redis.call('HGET', awaited, run_id)
    if not next_up then return false end
    redis.call('HDEL', awaited, run_id)
    local state = redis.call('HGET', open, next_up)
    if not (state and is_kind(state, WAITING)) then return false end
    redis.call('ZADD', deadlines, at, next_up)
    return true
end
