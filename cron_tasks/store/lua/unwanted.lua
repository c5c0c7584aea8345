-- Have a run end: the worker that runs it looks there, every other one is the sweep's to end. One that
-- runs when its job is removed goes on, and is only kept from being tried again.
local function unwanted(stops, deadlines, id, open, why)
    redis.call(why == 'removed|' and 'HSETNX' or 'HSET', stops, id, why)
    redis.call('EXPIRE', stops, 86400)
    local goes_on = why == 'removed|' or not string.find(open, '^r|%d+|%a*|task:')
    if not (string.find(open, '^r') and goes_on) then
        redis.call('ZADD', deadlines, 0, id)
    end
end
