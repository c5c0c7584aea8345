-- Give the place of a run that ended to the run that is queued behind it. Returns true if a run got
-- the place. That run is then waiting, and its message is sent at once.
--! keys open deadlines going queued stop
--! prefixes line
--! args now
--! uses ledger/state ledger/older

local function queued_state(run_id)
    local state = run_id and redis.call('HGET', open, run_id)
    return state and read_state(state) == QUEUED and state
end

-- Take the next run of a job out of its queue: the earlier of the run that the overlap policy
-- queued and the first catch-up run in line. Returns its run id and state, or nil.
local function dequeue(job_id)
    local line, kept = line_prefix .. job_id, redis.call('HGET', queued, job_id)
    if kept and not queued_state(kept) then
        redis.call('HDEL', queued, job_id)
        kept = false
    end
    -- The line holds run ids without their `Z`, so that they sort by time.
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    while first and not queued_state(first .. 'Z') do
        redis.call('ZREM', line, first)
        first = redis.call('ZRANGE', line, 0, 0)[1]
    end
    if first and not (kept and older(kept, first .. 'Z')) then
        redis.call('ZREM', line, first)
        return first .. 'Z', queued_state(first .. 'Z')
    end
    if not kept then return nil end
    redis.call('HDEL', queued, job_id)
    return kept, queued_state(kept)
end

local function release(run_id, job_id)
    redis.call('HDEL', stop, run_id)
    if redis.call('HGET', going, job_id) ~= run_id then return false end
    redis.call('HDEL', going, job_id)
    local next_up, state = dequeue(job_id)
    if not next_up then return false end
    redis.call('HSET', going, job_id, next_up)
    local _, attempt, flags, owner = read_state(state)
    redis.call('HSET', open, next_up, write_state(WAITING, attempt, flags, owner))
    redis.call('ZADD', deadlines, now, next_up)
    return true
end
