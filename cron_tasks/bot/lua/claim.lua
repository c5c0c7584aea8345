-- Take the messages of dead readers of a stream, and forget readers that are gone. A reader is
-- alive while its lease, `alive_prefix` followed by its name, is in Redis. If the caller's own
-- messages are to be taken too, `own_token` is the token of its lease, otherwise ''. Returns the
-- taken entries, as XCLAIM returns them.
--! given queue
--! args group reader own_token alive_prefix forget_after_ms
local taken = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', queue, group)) do
    local name, pending, idle_ms = consumer[2], consumer[4], consumer[6]
    local token = redis.call('GET', alive_prefix .. name)
    if pending > 0 and (not token or token == own_token) then
        local entries = redis.call('XPENDING', queue, group, '-', '+', pending, name)
        for _, entry in ipairs(entries) do
            local claimed = redis.call('XCLAIM', queue, group, reader, 0, entry[1])
            -- An entry that was trimmed from the stream meanwhile is not returned.
            if claimed[1] then taken[#taken + 1] = claimed[1] end
        end
    elseif pending == 0 and not token and idle_ms > tonumber(forget_after_ms) then
        redis.call('XGROUP', 'DELCONSUMER', queue, group, name)
    end
end
return taken
