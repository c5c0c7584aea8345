-- Delete the entries of a stream that every group has acknowledged.
--! given queue
local keep
for _, group in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
    -- A group still needs its oldest entry that is not acknowledged. A group that has acknowledged
    -- everything needs the entries after the last one that was delivered to it.
    local name, last_delivered = group[2], group[8]
    local oldest_pending = redis.call('XPENDING', queue, name)[2]
    local ms, number = string.match(oldest_pending or last_delivered, '(%d+)-(%d+)')
    ms, number = tonumber(ms), tonumber(number) + (oldest_pending and 0 or 1)
    if not keep or ms < keep.ms or ms == keep.ms and number < keep.number then
        keep = {ms = ms, number = number}
    end
end
redis.call('XTRIM', queue, 'MINID', string.format('%.0f-%.0f', keep.ms, keep.number))
return 1
