-- Record in the versions of a job (`list`) that the ticks up to `to` are unknown.
local function note_forgotten(list, to)
    redis.call('RPUSH', list, '{"forgotten": ' .. to .. '}')
end
