-- Open runs that are due as pending, all of them with one deadline.
-- `run_ids`, `states` and `fired` are lists of one length. `fired` has the run that the same job
-- fired before, or ''. A run that is open already goes into `refused`.
--! keys open deadlines
--! args pending_until
--! uses ledger/follow
local function open_pending(run_ids, states, fired, refused)
    local fields, scores, behind = {}, {}, {}
    for n, known in ipairs(redis.call('HMGET', open, unpack(run_ids))) do
        if known then
            refused[#refused + 1] = run_ids[n]
        else
            local size = #fields
            fields[size + 1], fields[size + 2] = run_ids[n], states[n]
            scores[size + 1], scores[size + 2] = pending_until, run_ids[n]
        end
    end
    if #fields == 0 then return end
    redis.call('HSET', open, unpack(fields))
    redis.call('ZADD', deadlines, unpack(scores))
    -- Not before they are open: one of them may come after another one of them.
    for n, state in ipairs(redis.call('HMGET', open, unpack(fired))) do
        if state then
            behind[#behind + 1] = run_ids[n]
            behind[#behind + 1] = fired[n]
        end
    end
    follow(behind)
end
