-- End a pause. `upcoming` is the next tick, '' for none. Returns 'resumed', or 'running' if there
-- is no pause. If `upcoming` is not after the last fired tick, returns the time from which the
-- caller has to compute the next tick.
--! keys schedule wake
--! args job_id upcoming
--! uses registry/supersede registry/adopt_skips registry/count_edit registry/note_change store/wake
local key = job_entry_prefix .. job_id
local entry = read_entry(job_id, key)
if not entry.paused then return 'running' end
local from = effective_from(settled_until(entry))
if upcoming ~= '' and tonumber(upcoming) <= tonumber(from) then return from end
supersede(job_id, entry, from)
store_since(key, from, last_tick(key, entry))
adopt_skips(job_id, key)
redis.call('HDEL', key, 'paused')
local edit = count_edit()
redis.call('HSET', key, 'edit', edit)
note_change(job_id, 'resumed', edit)
if upcoming ~= '' then
    redis.call('ZADD', schedule, upcoming, key)
    wake_beat(wake)
end
return 'resumed'
