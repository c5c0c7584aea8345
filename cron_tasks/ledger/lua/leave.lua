-- Turn members of a batch into ordinary pending runs. Beat checks them from `now` on, unless a
-- worker claims them first. Returns their run ids.
--! keys open deadlines
--! args now
--! uses ledger/state ledger/batch
local function leave(batch, job_ids)
    local moment, state = moment_of(batch), write_state(PENDING, 1, '', '')
    local run_ids, fields, scores = {}, {}, {}
    for n, job_id in ipairs(job_ids) do
        run_ids[n] = job_id .. '@' .. moment
        fields[2 * n - 1], fields[2 * n] = run_ids[n], state
        scores[2 * n - 1], scores[2 * n] = now, run_ids[n]
    end
    if #run_ids > 0 then
        redis.call('HSET', open, unpack(fields))
        redis.call('ZADD', deadlines, unpack(scores))
    end
    return run_ids
end
