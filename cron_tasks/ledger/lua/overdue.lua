-- Read open runs whose deadline has passed, the longest overdue first. Runs in batches are left out
-- (overdue_batches.lua). Returns rows of run id, state, the job's document, its failed attempts as
-- JSON and the cancel reason, each '' for none. The runs of a job in the index whose entry is
-- missing wait until a sync has written it again.
--! keys deadlines open stop attempts batches
--! prefixes job_entry
--! args now most
--! uses ledger/state ledger/is_registered
local rows = {}
for _, run_id in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, most)) do
    local state = redis.call('HGET', open, run_id)
    if state and not read_state(state) then
        -- Another program has written it. The audit finds that the tick is lost.
        redis.call('HDEL', open, run_id)
        redis.call('ZREM', deadlines, run_id)
    elseif state then
        local job_id = string.match(run_id, '^(.*)@') or ''
        local job = redis.pcall('HMGET', job_entry_prefix .. job_id, 'job', 'paused')
        -- The entry of a job may have another type, if another program wrote to its key.
        if job.err then job = {} end
        -- A pause does not stop a manual run.
        local paused = job[2] and not has_flag(state, BY_HAND) and 'paused|'
        local reason = redis.call('HGET', stop, run_id) or paused or ''
        if job[1] or reason ~= '' or not is_listed(job_id) then
            local failed = redis.call('HGET', attempts, run_id) or ''
            rows[#rows + 1] = {run_id, state, job[1] or '', failed, reason}
        else
            redis.call('ZADD', deadlines, now + 1, run_id)
        end
    elseif redis.call('HEXISTS', batches, run_id) == 0 then
        -- A run that has ended may have a deadline left over from a loss of data.
        redis.call('ZREM', deadlines, run_id)
    end
end
return rows
