-- Search a page of the index for jobs that are not scheduled or have no entry. Paused, disabled and
-- quarantined jobs are left out. Returns the next cursor, and for each job its id, definition,
-- meta, since and edit.
--! keys jobs schedule set_aside
--! prefixes job_entry
--! args cursor count
--! uses ledger/settle_fired

-- Return the row of a job that should be scheduled, or nil.
local function lacking_job(job_id, key)
    if redis.call('HEXISTS', set_aside, key) == 1 then return nil end
    settle_fired(job_id, key)
    local fields = redis.pcall('HMGET', key, 'definition', 'meta', 'since', 'edit', 'paused')
    -- A key that is not a hash is listed like an empty entry. Python finds it unreadable.
    if fields.err then fields = {} end
    local definition, meta, since, edit, paused = unpack(fields, 1, 5)
    if paused or string.find(definition or '', '"enabled": false}$') then return nil end
    return {job_id, definition or '', meta or '', since or '', edit or ''}
end

local next_cursor, index = unpack(redis.call('HSCAN', jobs, cursor, 'COUNT', count))
local job_ids, keys, lacking = {}, {}, {}
-- HSCAN returns each job id and its fingerprint in turn.
for n = 1, #index, 2 do
    job_ids[#job_ids + 1] = index[n]
    keys[#keys + 1] = job_entry_prefix .. index[n]
end
-- A call takes at most a few thousand values, and HSCAN may return more than `count`.
for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    local scores = redis.call('ZMSCORE', schedule, unpack(keys, first, last))
    -- Nearly always all entries exist, which one call shows.
    local all_exist = redis.call('EXISTS', unpack(keys, first, last)) == last - first + 1
    for n, score in ipairs(scores) do
        local key = keys[first + n - 1]
        if not score or not (all_exist or redis.call('EXISTS', key) == 1) then
            lacking[#lacking + 1] = lacking_job(job_ids[first + n - 1], key)
        end
    end
end
return {next_cursor, lacking}
