-- Add to a number in a hash. Another program may have written there: a field that is not a number
-- begins again at 0, and a key of another type is deleted first.
local function add_to_number(hash, field, number)
    local sum = redis.pcall('HINCRBY', hash, field, number)
    if type(sum) == 'number' then return end
    if string.find(sum.err, 'WRONGTYPE', 1, true) then redis.call('DEL', hash) end
    redis.call('HSET', hash, field, number)
end
