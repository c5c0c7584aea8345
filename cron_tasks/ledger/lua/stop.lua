-- Ask open runs to end. `reason` is "<reason>|<detail>".
-- Returns the run ids that were open.
--! keys open deadlines stop wake
--! args reason
--! rows runs(run_id)
--! uses ledger/ask_to_end store/wake
local asked = {}
for _, run_id in runs() do
    local state = redis.call('HGET', open, run_id)
    if state then
        ask_to_end(run_id, state, reason)
        asked[#asked + 1] = run_id
    end
end
-- The sweep must wake up: it ends all runs but those on a worker.
if #asked > 0 then wake_beat(wake) end
return asked
