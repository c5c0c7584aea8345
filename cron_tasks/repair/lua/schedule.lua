-- Put jobs that are missing in the schedule back into it. Columns: the edit of the job when it was
-- read, and its next tick. A job that has been edited, paused, removed or scheduled since then is
-- left alone. Returns the ids of the jobs that were put back.
--! keys schedule wake
--! prefixes job_entry
--! rows lacking(job_id edit upcoming)
--! uses store/wake registry/adopt_skips
local put_back = {}
for _, job_id, edit, upcoming in lacking() do
    local key = job_entry_prefix .. job_id
    local definition, edit_now, paused =
        unpack(redis.call('HMGET', key, 'definition', 'edit', 'paused'), 1, 3)
    if definition and not paused and (edit_now or '') == edit then
        if redis.call('ZADD', schedule, 'NX', upcoming, key) == 1 then
            adopt_skips(job_id, key)
            put_back[#put_back + 1] = job_id
        end
    end
end
if #put_back > 0 then wake_beat(wake) end
return put_back
