-- Note in the versions of a job (`list`) that nobody knows which ticks were due up to `to`.
-- A key of another type in its place is deleted.
local function note_forgotten(list, to)
    local line = '{"forgotten": ' .. to .. '}'
    if type(redis.pcall('RPUSH', list, line)) == 'number' then return end
    redis.call('DEL', list)
    redis.call('RPUSH', list, line)
end
