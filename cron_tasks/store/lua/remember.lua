-- Prepend to a bounded list; false where the key is something else.
local function remember(list, most, ttl, ...)
    local length = redis.pcall('LPUSH', list, ...)
    if type(length) ~= 'number' then
        if string.find(length.err, 'WRONGTYPE', 1, true) then return false end
        error(length)
    end
    if length > most then redis.call('LTRIM', list, 0, most - 1) end
    redis.call('EXPIRE', list, ttl)
    return true
end
