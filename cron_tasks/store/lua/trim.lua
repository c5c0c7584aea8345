-- Bound the versions of a job to about 128 kB. Where older ones go, a last line tells until when
-- they counted, so that an audit knows that it does not know what was due before.
local function trim(list, line)
    local length = redis.call('LLEN', list)
    if length % 32 ~= 0 and #line < 4096 then return end
    local bytes, kept = 0, 0
    for n, version in ipairs(redis.call('LRANGE', list, 0, -1)) do
        bytes = bytes + #version
        if bytes > 131072 and n > 1 then break end
        kept = n
    end
    if kept == length then return end
    local dropped = redis.call('LINDEX', list, kept)
    redis.call('LTRIM', list, 0, kept - 1)
    local ended = string.match(dropped, '"until": ([%d.]+)') or string.match(dropped, '"forgotten": ([%d.]+)')
    redis.call('RPUSH', list, '{"forgotten": ' .. ended .. '}')
end
