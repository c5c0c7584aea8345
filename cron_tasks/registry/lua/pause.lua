-- Pause a job. A job that is already paused gets the new reason. Returns the ticks that this
-- overtook (supersede.lua), or 0 if there is no such job.
--! keys schedule
--! args job_id pause
--! uses registry/supersede registry/count_edit registry/note_change
local key = job_entry_prefix .. job_id
local entry = read_entry(job_id, key)
if not entry.definition then return 0 end
if not entry.paused then
    -- A pause changes when the job fires, like an edit.
    local from = effective_from(settled_until(entry))
    supersede(job_id, entry, from)
    store_since(key, from, last_tick(key, entry))
    redis.call('ZREM', schedule, key)
end
local edit = count_edit()
redis.call('HSET', key, 'paused', pause, 'edit', edit)
note_change(job_id, 'paused', edit)
return overtaken
