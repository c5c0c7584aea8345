-- Put notifications into their queues: `queues` is a table of lists of payloads by queue. A queue
-- holds at most `notify_max`. Beyond that, the oldest notifications are dropped. All are counted.
--! keys undeliverable dropped metrics
--! args stream notify_max
--! uses store/prepend store/add_to_number

-- Drop the oldest notifications of a queue that nobody reads. Returns the number of them.
local function bound_queue(queue, length)
    local most = tonumber(notify_max)
    if stream ~= '' then return redis.call('XTRIM', queue, 'MAXLEN', most) end
    if length <= most then return 0 end
    redis.call('LTRIM', queue, length - most, -1)
    return length - most
end

local function notify(queues)
    for queue, payloads in pairs(queues) do
        local reply
        if stream ~= '' then
            for _, payload in ipairs(payloads) do
                reply = redis.pcall('XADD', queue, '*', 'data', payload)
            end
        else
            reply = redis.pcall('RPUSH', queue, unpack(payloads))
        end
        if type(reply) == 'table' and reply.err then
            -- A queue of another type is a mistake in the settings. Its notifications are kept for
            -- a week, and the runs still end.
            if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply) end
            for _, payload in ipairs(payloads) do
                prepend(undeliverable, 1000, 604800, queue .. ' ' .. payload)
            end
        else
            add_to_number(metrics, 'notifications_total|' .. queue, #payloads)
            local over = bound_queue(queue, reply)
            if over > 0 then add_to_number(dropped, queue, over) end
        end
    end
end
