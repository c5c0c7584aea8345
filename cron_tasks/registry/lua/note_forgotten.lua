-- Note in the versions of a job (`list`) that nobody knows which ticks were due up to `to`.
local function note_forgotten(list, to)
    redis.call('RPUSH', list, '{"forgotten": ' .. to .. '}')
end
