-- Bound the versions of a job, the newest of which is `line`, to about 128 kB.
-- Where older ones are dropped, a last line holds until when they counted. So an audit knows that
-- it does not know what was due before.
--! uses registry/note_forgotten
local function trim_versions(list, line)
    local length = redis.call('LLEN', list)
    -- Most lists are short. A look at every 32nd version, and at each that is long, is enough.
    if length % 32 ~= 0 and #line < 4096 then return end
    local bytes, kept = 0, 0
    for n, version in ipairs(redis.call('LRANGE', list, 0, -1)) do
        bytes = bytes + #version
        -- One version is kept, however long it is.
        if bytes > 131072 and n > 1 then break end
        kept = n
    end
    if kept == length then return end
    local dropped = redis.call('LINDEX', list, kept)
    redis.call('LTRIM', list, 0, kept - 1)
    local forgotten_until = string.match(dropped, '"until": ([%d.]+)')
        or string.match(dropped, '"forgotten": ([%d.]+)')
    note_forgotten(list, forgotten_until)
end
