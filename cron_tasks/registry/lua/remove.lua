-- Remove a page of jobs.
-- Their versions keep what they were, and `removed` until when. So a job that comes back does not
-- fire a tick a second time.
-- Returns the ticks that this overtook (supersede.lua).
--! keys schedule jobs set_aside removed failing source untold minute
--! prefixes history minutes
--! rows gone(job_id)
--! uses registry/check_fence registry/supersede registry/count_edit registry/note_change
local refusal = check_fence()
if refusal then return refusal end
local edit = count_edit()
for _, job_id in gone() do
    local key = job_entry_prefix .. job_id
    local entry = read_entry(job_id, key)
    local from = effective_from(settled_until(entry))
    supersede(job_id, entry, from)
    redis.call('ZADD', removed, from, job_id)
    redis.call('ZREM', schedule, key)
    redis.call('DEL', key, history_prefix .. job_id, minutes_prefix .. job_id)
    redis.pcall('HDEL', minute, job_id)
    redis.call('HDEL', jobs, job_id)
    redis.call('HDEL', set_aside, key)
    redis.call('HDEL', failing, job_id)
    redis.call('HDEL', untold, job_id)
    note_change(job_id, 'removed', edit)
end
-- The members of a sorted set have no time to live of their own.
redis.call('ZREMRANGEBYSCORE', removed, '-inf', '(' .. (now - audit_ttl))
redis.call('EXPIRE', removed, audit_ttl)
-- Until the sync has ended, the registry is not the list that these validators stand for.
redis.call('HDEL', source, 'etag', 'last_modified')
return overtaken
