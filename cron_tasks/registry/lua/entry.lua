-- Functions that read the entry of a job and say from when to when it counts.
-- Times are seconds since the epoch.
--! keys schedule
--! args now
--! uses registry/parse_last_run ledger/settle_fired
local clock = tonumber(now)
-- Times in JSON have microseconds, and pass through floating point.
local microsecond = 0.000001

-- Return the fields of an entry by name, each false where it is missing.
-- A key that is not a hash has no fields, and `is_broken`.
local function read_entry(job_id, key)
    settle_fired(job_id, key)
    local fields = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta', 'ticked')
    if fields.err then return {is_broken = true} end
    local definition, since, paused, meta, ticked = unpack(fields, 1, 5)
    return {definition = definition, since = since, paused = paused, meta = meta, ticked = ticked}
end

-- Return the time in the meta of an entry. It is kept, since parsing it costs the most of a change.
local function last_run(entry)
    entry.last_run = entry.last_run or parse_last_run(entry.meta)
    return entry.last_run
end

-- Return since when an entry counts.
local function counts_since(entry)
    return tonumber(entry.since or 0) or 0
end

-- Return the last tick that an entry has fired or missed, 0 for none.
-- Each edit and pause stores it in `ticked`. Afterwards, and in an entry that was never changed,
-- the time in the meta is newer. An entry of an earlier version has no `ticked`, and its meta may
-- hold the time of an edit, which is later than the tick.
local function last_tick(key, entry)
    if not entry.definition then return 0 end
    local ran = last_run(entry)
    local due = ran == 0 and redis.call('ZSCORE', schedule, key)
    if due then
        -- The meta holds no time. All fire times before the one that is due, less its jitter, are
        -- over.
        local jitter = tonumber(string.match(entry.definition, '"j":(%d+)') or 0)
        return math.max(0, math.min(tonumber(due) - jitter - microsecond, clock))
    end
    if ran > counts_since(entry) + microsecond then return ran end
    local never_ran = string.find(entry.meta or '', '"total_run_count": 0}', 1, true)
    return tonumber(entry.ticked or '') or (never_ran and 0 or ran)
end

-- Return up to when ticks of an entry may have fired: its last tick, or since when it counts.
local function settled_until(entry)
    if not entry.definition then return 0 end
    return math.max(last_run(entry), counts_since(entry))
end

-- Return from when a change counts, as text: now, but not before what may have fired (`settled`),
-- whatever clock the caller has.
local function effective_from(settled)
    return settled > clock and string.format('%.6f', settled) or now
end

-- Make an entry count since `since`, and store its last tick.
local function store_since(key, since, tick)
    redis.call('HSET', key, 'since', since)
    if tick > 0 then redis.call('HSET', key, 'ticked', string.format('%.6f', tick)) end
end
