-- Forget that the ticks of a job after `at` are missed, since its entry could not be read: it can.
local function forget_aside(account, at)
    for _, line in ipairs(redis.call('ZRANGEBYSCORE', account, '(' .. at, '+inf')) do
        if string.find(line, '"reason": "set_aside"', 1, true) then
            redis.call('ZREM', account, line)
        end
    end
end
