-- Make runs pending again: their message was lost, their worker died, or their next attempt is due.
-- Leaves a run whose state is no longer the one that was seen. Returns 1.
--
-- `how` is 'attempt' where the next claim begins a further attempt, 'sent' after the message of a
-- pending run was sent again, '' otherwise. The holder of a pending run counts these messages.
-- `counts` is what each of the runs adds to the counters.
--! keys open deadlines
--! args pending_until how counts
--! rows runs(run_id seen)
--! uses ledger/state store/add_to_counters
local handed_back = 0
for _, run_id, seen in runs() do
    if redis.call('HGET', open, run_id) == seen then
        local kind, attempt, flags, sent = read_state(seen)
        if kind ~= PENDING then sent = '' end
        if how == 'attempt' then attempt = attempt + 1 end
        if how == 'sent' then sent = (tonumber(sent) or 0) + 1 end
        redis.call('HSET', open, run_id, write_state(PENDING, attempt, flags, sent))
        redis.call('ZADD', deadlines, pending_until, run_id)
        handed_back = handed_back + 1
    end
end
add_to_counters({[counts] = handed_back})
return 1
