-- Open due runs as pending, all with the same deadline: those from position `first` to `last` of
-- the lists. `predecessors` has the previous run of the same job, or ''. A run that is open already
-- goes into `refused`.
--! keys open deadlines
--! args pending_until
--! uses ledger/follow
local function open_pending(run_ids, states, predecessors, first, last, refused)
    local fields, scores, behind = {}, {}, {}
    for n, known in ipairs(redis.call('HMGET', open, unpack(run_ids, first, last))) do
        local run_id, size = run_ids[first + n - 1], #fields
        if known then
            refused[#refused + 1] = run_id
        else
            fields[size + 1], fields[size + 2] = run_id, states[first + n - 1]
            scores[size + 1], scores[size + 2] = pending_until, run_id
        end
    end
    if #fields == 0 then return end
    redis.call('HSET', open, unpack(fields))
    redis.call('ZADD', deadlines, unpack(scores))
    -- Only after they are open, because one of them may come after another.
    for n, state in ipairs(redis.call('HMGET', open, unpack(predecessors, first, last))) do
        if state then
            behind[#behind + 1] = run_ids[first + n - 1]
            behind[#behind + 1] = predecessors[first + n - 1]
        end
    end
    follow(behind)
end
