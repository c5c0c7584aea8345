-- Limit the versions of a job, the newest of which is `line`, to about 128 kB. If older versions
-- are dropped, a last line has the end of their validity. From it, an audit knows which period is
-- unknown.
--! uses registry/note_forgotten
local function trim_versions(list, line)
    local length = redis.call('LLEN', list)
    -- Most lists are short. Checking every 32nd version, and each long one, is enough.
    if length % 32 ~= 0 and #line < 4096 then return end
    local bytes, kept = 0, 0
    for n, version in ipairs(redis.call('LRANGE', list, 0, -1)) do
        bytes = bytes + #version
        -- At least one version is kept, however long it is.
        if bytes > 131072 and n > 1 then break end
        kept = n
    end
    if kept == length then return end
    local dropped = redis.call('LINDEX', list, kept)
    redis.call('LTRIM', list, 0, kept - 1)
    local forgotten_until = string.match(dropped, '"until": ([%d.]+)')
        or string.match(dropped, '"forgotten": ([%d.]+)')
    if forgotten_until then note_forgotten(list, forgotten_until) end
end
