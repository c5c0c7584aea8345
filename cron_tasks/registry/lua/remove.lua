-- Remove a page of jobs. Their versions keep the schedules, and `removed` the time of removal. So a
-- job that comes back does not fire a tick a second time. The minute in progress goes to the newest
-- runs of all jobs, like other runs. `noted` is '' if the sync has so many later changes that the
-- stream of changes cannot keep those of this page. Returns the ticks that this overtook
-- (supersede.lua).
--! keys schedule jobs set_aside removed failing source untold minute counted_minute recent
--! prefixes history minutes count
--! args noted
--! rows gone(job_id)
--! uses registry/check_fence registry/supersede registry/count_edit registry/note_change
--! uses store/prepend store/add_to_number ledger/read_minute
local refusal = check_fence()
if refusal then return refusal end
local edit = count_edit()

local function end_minute(key, job_id)
    -- A key of another type holds no minutes.
    local known = redis.pcall('HGET', key, job_id)
    if type(known) ~= 'string' then return end
    local found = read_minute(known)
    if found then
        if key == minute and found.sum ~= '0' then
            add_to_number(count_prefix .. found.day, job_id, found.sum)
            redis.call('EXPIRE', count_prefix .. found.day, audit_ttl)
        end
        prepend(recent, 10000, audit_ttl, write_past(found, job_id))
    end
    redis.call('HDEL', key, job_id)
end

for n, job_id in gone() do
    local key = job_entry_prefix .. job_id
    local entry = read_entry(job_id, key)
    local from = effective_from(settled_until(entry))
    supersede(job_id, entry, from)
    redis.call('ZADD', removed, from, job_id)
    redis.call('ZREM', schedule, key)
    redis.call('DEL', key, history_prefix .. job_id, minutes_prefix .. job_id)
    end_minute(counted_minute, job_id)
    end_minute(minute, job_id)
    redis.call('HDEL', jobs, job_id)
    redis.call('HDEL', set_aside, key)
    redis.call('HDEL', failing, job_id)
    redis.call('HDEL', untold, job_id)
    if noted ~= '' then
        note_change(job_id, 'removed', edit)
    elseif n == 1 then
        note_only(job_id, 'removed', edit)
    end
end
-- The members of a sorted set have no separate time to live.
redis.call('ZREMRANGEBYSCORE', removed, '-inf', '(' .. (now - audit_ttl))
redis.call('EXPIRE', removed, audit_ttl)
-- Until the sync has ended, the registry does not equal the list of these validators.
redis.call('HDEL', source, 'etag', 'last_modified')
return overtaken
