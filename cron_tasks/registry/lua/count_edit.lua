-- Count an edit and return its number: the time by the clock of Redis, in microseconds since 1970, and
-- always more than the number before. So no number stands for two edits, even if Redis loses its
-- newest writes or all of them. Beat drops its judgements from before an edit. A stored number that
-- cannot be counted on is ignored.
--! keys edits
local function count_edit()
    local now, stored = redis.call('TIME'), redis.pcall('GET', edits)
    local last = type(stored) == 'string' and tonumber(string.match(stored, '^%d+$')) or 0
    -- From 2^53 on, adding 1 changes nothing.
    if last >= 2 ^ 53 then last = 0 end
    local number = string.format('%.0f', math.max(now[1] * 1000000 + now[2], last + 1))
    redis.call('SET', edits, number)
    return number
end
