-- Count an edit and return its number.
-- Beat drops what it has judged ahead of an edit, and knows jobs only up to their last edit. So a
-- number never comes twice, also where Redis lost the newest writes or the key: it is at least the
-- time in milliseconds.
--! keys edits
local function count_edit()
    local time = redis.call('TIME')
    local least = time[1] * 1000 + math.floor(time[2] / 1000)
    local last = redis.pcall('GET', edits)
    -- A count that is not a number, or a key of another type, starts again.
    local number = math.max(least, (type(last) == 'string' and tonumber(last) or 0) + 1)
    redis.call('SET', edits, string.format('%.0f', number))
    return string.format('%.0f', number)
end
