-- Prepend records to a list that keeps at most `most` of them for `ttl` seconds.
-- Returns false, and changes nothing, where the key holds another type.
local function prepend(list, most, ttl, ...)
    local length = redis.pcall('LPUSH', list, ...)
    if type(length) ~= 'number' then
        -- Another program wrote a key of another type. It must not block the ledger.
        if string.find(length.err, 'WRONGTYPE', 1, true) then return false end
        error(length)
    end
    if length > most then redis.call('LTRIM', list, 0, most - 1) end
    redis.call('EXPIRE', list, ttl)
    return true
end
