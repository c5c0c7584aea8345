-- Have a run end: the worker that runs it looks there, every other one is the sweep's to end.
local function unwanted(stops, deadlines, id, open, why)
    redis.call('HSET', stops, id, why)
    redis.call('EXPIRE', stops, 86400)
    if not string.find(open, '^r') or string.find(open, '^r|%d+|%a*|task:') then
        redis.call('ZADD', deadlines, 0, id)
    end
end
