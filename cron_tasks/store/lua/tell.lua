-- Queue messages by queue name; of a queue nobody reads the oldest go, and are counted.
local function tell(queues, stream, most, undeliverable, dropped)
    for queue, messages in pairs(queues) do
        local told, over = nil, 0
        if stream then
            for _, message in ipairs(messages) do
                told = redis.pcall('XADD', queue, '*', 'data', message)
            end
        else
            told = redis.pcall('RPUSH', queue, unpack(messages))
        end
        if type(told) == 'table' and told.err then
            if not string.find(told.err, 'WRONGTYPE', 1, true) then error(told) end
            for _, message in ipairs(messages) do
                remember(undeliverable, 1000, 604800, queue .. ' ' .. message)
            end
        elseif stream then
            over = redis.call('XTRIM', queue, 'MAXLEN', most)
        elseif told > most then
            over = told - most
            redis.call('LTRIM', queue, over, -1)
        end
        if over > 0 then redis.call('HINCRBY', dropped, queue, over) end
    end
end
