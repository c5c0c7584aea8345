-- Search a page of open runs for those without a deadline, which nobody would handle. All open
-- batches belong to the first page. With `mend` they get a deadline, as if they had come into their
-- state now. Returns the next cursor and their number.
--! keys open deadlines batches
--! prefixes job_entry
--! args cursor count mend now patience lease default_timeout
--! uses ledger/state

-- Return the deadline of a run in this state, in seconds since the epoch.
local function deadline_of(run_id, state)
    if is_kind(state, WAITING) then return now end  -- The next attempt of a run is due at once.
    if is_kind(state, PENDING) then return now + patience end
    if not is_delegated(state) then return now + lease end
    -- Nobody renews the lease of a delegated run. Its deadline is the timeout of its job.
    local job_id = string.match(run_id, '^(.*)@') or ''
    local document = redis.pcall('HGET', job_entry_prefix .. job_id, 'job')
    local timeout = type(document) == 'string' and string.match(document, '"timeout":(%d+%.?%d*)')
    return now + (timeout or default_timeout)
end

local next_cursor, page = unpack(redis.call('HSCAN', open, cursor, 'COUNT', count))
local untimed = 0
-- HSCAN returns each run id and its state in turn.
for n = 1, #page, 2 do
    local run_id, state = page[n], page[n+1]
    if not redis.call('ZSCORE', deadlines, run_id) then
        untimed = untimed + 1
        if mend ~= '' then redis.call('ZADD', deadlines, deadline_of(run_id, state), run_id) end
    end
end
for _, batch in ipairs(cursor == '0' and redis.call('HKEYS', batches) or {}) do
    if not redis.call('ZSCORE', deadlines, batch) then
        untimed = untimed + 1
        if mend ~= '' then redis.call('ZADD', deadlines, now + patience, batch) end
    end
end
return {next_cursor, untimed}
