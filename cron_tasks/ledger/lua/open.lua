-- Open runs that a person asked for, as pending in the given state.
-- Returns the run ids that were not open yet.
--! keys open deadlines wake before
--! prefixes job_entry
--! args publish_at state
--! rows runs(run_id job_id)
--! uses store/wake ledger/older ledger/follow
local opened, newest, behind = {}, {}, {}
for _, run_id, job_id in runs() do
    if redis.call('HSETNX', open, run_id, state) == 1 then
        redis.call('ZADD', deadlines, publish_at, run_id)
        opened[#opened + 1] = run_id
        -- It comes after the run of its job that fired last, if that run is open and was due
        -- earlier.
        local last = newest[job_id] or redis.pcall('HGET', job_entry_prefix .. job_id, 'fired')
        if type(last) == 'string' and older(last, run_id)
                and redis.call('HEXISTS', open, last) == 1 then
            behind[#behind + 1] = run_id
            behind[#behind + 1] = last
        end
        newest[job_id] = run_id
    end
end
follow(behind)
if #opened > 0 then wake_beat(wake) end
return opened
