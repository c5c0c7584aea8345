-- Extend the leases of runs. Returns pairs of run id and reason: why the run should end, or `lost|`
-- if it has another holder.
--! keys open deadlines stop
--! args lease
--! rows runs(run_id holder)
local ends = {}
local stopping = redis.call('EXISTS', stop) == 1
for _, run_id, holder in runs() do
    local state = redis.call('HGET', open, run_id)
    local why = stopping and redis.call('HGET', stop, run_id)
    if not state or string.match(state, '^r|%d+|%a*|(.*)$') ~= holder then
        why = 'lost|'
    else
        -- A run that is in flight when its job is removed continues to its end.
        if why == 'removed|' then why = nil end
        redis.call('ZADD', deadlines, lease, run_id)
    end
    if why then
        ends[#ends + 1] = run_id
        ends[#ends + 1] = why
    end
end
return ends
