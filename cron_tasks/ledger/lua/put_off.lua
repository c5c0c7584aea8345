-- A run waits until `due` for its next attempt; `trace` is what failed so far.
local function put_off(id, open, trace, due)
    local attempt, flags = string.match(open, '|(%d+)|(%a*)|')
    redis.call('HSET', KEYS[10], id, trace)
    redis.call('HSET', KEYS[1], id, 'w|' .. attempt + 1 .. '|' .. flags .. '|')
    redis.call('ZADD', KEYS[2], due, id)
end
