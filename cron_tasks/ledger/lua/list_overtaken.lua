-- Record the fire times that an edit, a pause or a removal overtook like other missed ones, and
-- notify about them. The script of the change has accounted for them with `line`, which `record`
-- replaces, because it also has their end. The change has counted the first one, and `counts` are
-- the others. Returns how many rows were recorded. A row that was recorded before changes nothing.
--! keys recent undeliverable dropped
--! prefixes history account
--! args now history_runs history_ttl account_ttl stream notify_max
--! rows stretches(job_id first line record queue message counts)
--! uses store/prepend store/notify store/account store/add_to_counters ledger/is_registered
local queues, counted, listed = {}, {}, 0
for _, job_id, first, line, record, queue, message, counts in stretches() do
    local key = account_prefix .. job_id
    if redis.call('ZREM', key, line) == 1 then
        account(key, first, record, tonumber(account_ttl), now)
        prepend(recent, 10000, history_ttl, record)
        -- The history of a removed job stays deleted.
        if is_registered(job_id) then
            prepend(history_prefix .. job_id, tonumber(history_runs), history_ttl, record)
        end
        if queue ~= '' then
            queues[queue] = queues[queue] or {}
            table.insert(queues[queue], message)
        end
        counted[counts] = (counted[counts] or 0) + 1
        listed = listed + 1
    end
end
notify(queues)
add_to_counters(counted)
return listed
