-- Note that something other than a sync changed the registry, so that the next sync reads the list.
-- A count that is not a number continues at the time, because no sync has seen that number.
--! keys source
local function add_doubt()
    if type(redis.pcall('HINCRBY', source, 'doubts', 1)) == 'number' then return end
    local seconds, microseconds = unpack(redis.call('TIME'))
    -- If the key has another type, there are no validators either, so the list is read.
    redis.pcall('HSET', source, 'doubts', seconds .. microseconds)
end
