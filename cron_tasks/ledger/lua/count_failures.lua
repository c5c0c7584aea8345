-- Count how often a job failed in a row.
--
-- Returns how many of these failures the chat may know. After a failure, the count includes it.
-- After a success, returns 1 if the chat knows only failures before a success that was suppressed.
--
-- A notification that is too old is suppressed. `untold` has, for each job, the number of
-- suppressed failures in a row, followed by " owed" while a recovery is still to be notified.
--! keys failing untold
--! uses store/add_to_number
local function count_failures(job_id, status, suppressed)
    -- Counts that are not numbers were written by another program.
    local earlier = tonumber(string.match(redis.call('HGET', failing, job_id) or '', '^%d+$') or 0)
    local kept = redis.call('HGET', untold, job_id) or '0'
    local hidden, owed = tonumber(string.match(kept, '^%d+') or 0), string.match(kept, ' owed') or ''
    if status == 'failed' then
        add_to_number(failing, job_id, 1)
        if suppressed then
            hidden = hidden + 1
            redis.call('HSET', untold, job_id, hidden .. owed)
        end
        return earlier + 1 - hidden
    end
    local known = earlier - hidden
    if known == 0 and owed ~= '' then known = 1 end
    if earlier > 0 then redis.call('HDEL', failing, job_id) end
    if suppressed and known > 0 then
        redis.call('HSET', untold, job_id, '0 owed')
    elseif kept ~= '0' then
        redis.call('HDEL', untold, job_id)
    end
    return known
end
