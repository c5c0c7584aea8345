-- Take runs out of their batches, so that each becomes an ordinary pending run. `now` is their
-- deadline. Returns how many were in a batch.
--! keys batches
--! args now
--! rows runs(moment job_id)
--! uses ledger/batch ledger/leave
local wanted, count = {}, 0
for _, moment, job_id in runs() do
    wanted[moment] = wanted[moment] or {}
    wanted[moment][job_id] = true
end
for _, batch in ipairs(redis.call('HKEYS', batches)) do
    local leaving = wanted[moment_of(batch)]
    if leaving then
        local rest, job_ids = read_batch(redis.call('HGET', batches, batch))
        local stay, leave_now = {}, {}
        for _, job_id in ipairs(job_ids) do
            local list = leaving[job_id] and leave_now or stay
            list[#list + 1] = job_id
        end
        if #leave_now > 0 then
            leave(batch, leave_now)
            write_batch(batch, rest, stay)
            count = count + #leave_now
        end
    end
end
return count
