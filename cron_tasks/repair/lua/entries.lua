-- Search a page of all keys for entries of jobs that are not in the index. Returns the next cursor
-- and the ids of their jobs.
--! keys jobs
--! prefixes job_entry
--! args cursor count
local next_cursor, keys =
    unpack(redis.call('SCAN', cursor, 'MATCH', job_entry_prefix .. '*', 'COUNT', count))
local unlisted = {}
for _, key in ipairs(keys) do
    local job_id = string.sub(key, #job_entry_prefix + 1)
    if redis.call('HEXISTS', jobs, job_id) == 0 then unlisted[#unlisted + 1] = job_id end
end
return {next_cursor, unlisted}
