-- Store a version of a job that a change replaces, and account for the ticks that it overtakes.
-- `overtaken_tail` is the end of the record of overtaken ticks, as JSON after its `from`. The first
-- of these ticks adds `overtaken_counts` to the counters, and a tick that was to be skipped adds
-- `skip_counts`.
--! keys schedule skips
--! prefixes job_entry versions account
--! args now audit_ttl overtaken_tail overtaken_counts skip_counts
--! uses registry/entry registry/trim_versions store/account store/add_to_counters

-- All times are seconds since the epoch, as text.

-- The ticks that the changes of this call overtake. Each job has its id, the first tick, the end of
-- the period in which they were due, its document, their record in the account, and the number that
-- is counted. The caller lists them as missed, and counts the others.
local overtaken = {}

-- Account for the ticks of a job that were to be skipped, and that the change overtakes. Return
-- their number, and whether the first tick is one of them.
local function account_skips(job_id, from, to)
    local skipped, is_first_skipped = 0, false
    for _, run_id in ipairs(redis.call('ZRANGEBYSCORE', skips, from, to)) do
        if string.match(run_id, '^(.*)@') == job_id then
            local record = '{"run_id":' .. cjson.encode(run_id) .. ',"status":"skipped",'
                .. '"reason":"by_hand","attempt":0,"started_at":null,"finished_at":' .. now
                .. ',"worker":null,"error":null}'
            local fire_time = redis.call('ZSCORE', skips, run_id)
            account(account_prefix .. job_id, fire_time, record, tonumber(audit_ttl), now)
            redis.call('ZREM', skips, run_id)
            skipped = skipped + 1
            is_first_skipped = is_first_skipped or tonumber(fire_time) == tonumber(from)
        end
    end
    add_to_counters({[skip_counts] = skipped})
    return skipped, is_first_skipped
end

-- Store the version that was valid until `to`. The audit computes the expected ticks from it.
local function store_version(job_id, key, entry, to)
    local timing = entry.definition and string.match(entry.definition, '"schedule": .*')
    if not timing or not entry.since then return end
    local list = versions_prefix .. job_id
    if not read_time(entry.since) then
        note_forgotten(list, to)
        redis.call('EXPIRE', list, audit_ttl)
        return
    end
    local pause = entry.paused and '"paused": ' .. entry.paused .. ', ' or ''
    local ticked = string.format('%.6f', last_tick(key, entry))
    local line = '{"since": ' .. entry.since .. ', "until": ' .. to .. ', "ticked": ' .. ticked
        .. ', ' .. pause .. timing
    if type(redis.pcall('LPUSH', list, line)) ~= 'number' then
        -- Where somebody else has written a key of another type, the versions before are unknown.
        note_forgotten(list, entry.since)
        redis.call('LPUSH', list, line)
    end
    trim_versions(list, line)
    redis.call('EXPIRE', list, audit_ttl)
end

-- End the validity of an entry at `to`. Another definition, pause or start is valid afterwards.
local function supersede(job_id, entry, to)
    local key = job_entry_prefix .. job_id
    store_version(job_id, key, entry, to)
    local due = redis.call('ZSCORE', schedule, key)
    -- A tick that beat has not processed is overtaken, because its run would follow the new
    -- definition.
    if due and tonumber(due) <= tonumber(to) then
        local record = '{"from": ' .. due .. ', ' .. overtaken_tail
        account(account_prefix .. job_id, due, record, tonumber(audit_ttl), now)
        local document = redis.pcall('HGET', key, 'job')
        if type(document) ~= 'string' then document = '' end
        local counted, is_first_skipped = account_skips(job_id, due, to)
        if not is_first_skipped then
            add_to_counters({[overtaken_counts] = 1})
            counted = counted + 1
        end
        overtaken[#overtaken + 1] = {job_id, due, to, document, record, tostring(counted)}
    end
end
