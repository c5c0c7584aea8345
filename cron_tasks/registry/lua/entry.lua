-- Functions that read the entry of a job, and the period in which it is valid. Times are seconds
-- since the epoch.
--! keys schedule
--! args now
--! uses registry/parse_last_run ledger/settle_fired
local clock = tonumber(now)
-- Times in JSON have microseconds, and pass through floating point.
local microsecond = 0.000001

-- Return the fields of an entry by name, each false if it is missing. A key that is not a hash has
-- no fields, and `is_broken`.
local function read_entry(job_id, key)
    settle_fired(job_id, key)
    local fields = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta', 'ticked')
    if fields.err then return {is_broken = true} end
    local definition, since, paused, meta, ticked = unpack(fields, 1, 5)
    return {definition = definition, since = since, paused = paused, meta = meta, ticked = ticked}
end

-- Return the time in the meta of an entry. The result is cached, because parsing it is the largest
-- cost of a change.
local function last_run(entry)
    entry.last_run = entry.last_run or parse_last_run(entry.meta)
    return entry.last_run
end

-- Return the time from which an entry is valid.
local function counts_since(entry)
    return read_time(entry.since) or 0
end

-- Return the last tick that an entry has fired or missed, 0 for none. Each edit and pause stores it
-- in `ticked`. Afterwards, and in an entry that was never changed, the time in the meta is newer.
-- An entry of an earlier version has no `ticked`, and its meta may hold the time of an edit, which
-- is later than the tick.
local function last_tick(key, entry)
    if not entry.definition then return 0 end
    local ran = last_run(entry)
    local due = ran == 0 and redis.call('ZSCORE', schedule, key)
    if due then
        -- The meta holds no time. All fire times before the next one, less its jitter, are over.
        local jitter = tonumber(string.match(entry.definition, '"j":(%d+)') or 0)
        return math.max(0, math.min(tonumber(due) - jitter - microsecond, clock))
    end
    if ran > counts_since(entry) + microsecond then return ran end
    local never_ran = string.find(entry.meta or '', '"total_run_count": 0}', 1, true)
    return read_time(entry.ticked) or (never_ran and 0 or ran)
end

-- Return the time up to which ticks of an entry may have fired: its last tick, or its start.
local function settled_until(entry)
    if not entry.definition then return 0 end
    return math.max(last_run(entry), counts_since(entry))
end

-- Return the time from which a change is valid, as text: now, but not before `settled`, the time up
-- to which ticks may have fired, whatever clock the caller has.
local function effective_from(settled)
    return settled > clock and string.format('%.6f', settled) or now
end

-- Make an entry valid from `since` on, and store its last tick.
local function store_since(key, since, tick)
    redis.call('HSET', key, 'since', since)
    if tick > 0 then redis.call('HSET', key, 'ticked', string.format('%.6f', tick)) end
end
