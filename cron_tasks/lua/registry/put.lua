--! uses registry/supersede registry/adopt registry/edited registry/fenced shared/wake
-- Write a page of jobs. Each row: id, fingerprint, timing, definition, document, next tick or ''. The
-- last may be followed by `|` and the tick's nominal time, where it is another, and by `@` and the
-- time after which the tick was computed, where that is not now.
-- A row whose next tick is not after what its entry has fired, or whose nominal time is not after
-- the last tick, is not written: the answer names it, as id and time, and the caller computes its
-- next tick from that time. So no tick fires twice, however old the caller's time is, and whatever
-- the jitter was when it fired. A second list names the ticks that were overtaken.

-- Forget that the ticks of a job after `at` are missed, since its entry could not be read: it can.
local function forget_aside(id, at)
    local account = ARGV[5] .. id
    for _, line in ipairs(redis.call('ZRANGEBYSCORE', account, '(' .. at, '+inf')) do
        if string.find(line, '"reason": "set_aside"', 1, true) then
            redis.call('ZREM', account, line)
        end
    end
end
local refusal = fenced(KEYS[9], ARGV[7], KEYS[10], ARGV[8])
if refusal then return refusal end
local stamp, first = ARGV[9], 10
local fingerprints, keys, due, over, stale = {}, {}, {}, {}, {}
local aside, edits = redis.call('EXISTS', KEYS[3]) == 1, edited(KEYS[7])
local gone = redis.call('EXISTS', KEYS[5]) == 1
-- Return the last tick of a job that was removed. An earlier version kept only when that was.
local function ticked_before(id, removed)
    local version = redis.call('LINDEX', ARGV[4] .. id, 0)
    return tonumber(version and string.match(version, '"ticked": ([%d.]+)') or removed)
end
for i = first, #ARGV, 6 do
    local id, timing = ARGV[i], ARGV[i+2]
    local upcoming, nominal, after = string.match(ARGV[i+5], '^([^|@]*)|?([^@]*)@?(.*)$')
    local key = prefix .. id
    local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta', 'ticked')
    if old.err then
        redis.call('DEL', key)
        old = {}
    end
    local since, meta = old[2], old[4]
    -- A job that was removed and comes back must not fire what it had fired before.
    local changed = not (old[1] and meta and string.find(old[1], timing, 1, true))
    local scheduled = not changed and redis.call('ZSCORE', KEYS[1], key)
    local last, ticked = settled(old), changed and last_tick(key, old) or 0
    local removed = gone and redis.call('ZSCORE', KEYS[5], id)
    if removed then
        last = math.max(last, tonumber(removed))
        if not old[1] then ticked = ticked_before(id, last) end
    end
    if upcoming ~= '' and not scheduled and tonumber(upcoming) <= last then
        stale[#stale + 1] = id
        stale[#stale + 1] = string.format('%.6f', last)
    elseif nominal ~= '' and tonumber(nominal) <= ticked then
        stale[#stale + 1] = id
        stale[#stale + 1] = upcoming
    else
        local at = counts_from(last)
        if not scheduled and (old[1] or gone) then
            adopt(ARGV[5] .. id, KEYS[1], key, KEYS[11], clock)
        end
        if aside and redis.call('HEXISTS', KEYS[3], key) == 1 then forget_aside(id, at) end
        local begin = counts_from(math.max(last, tonumber(after) or 0))
        if changed then
            local runs = meta and string.match(meta, '"total_run_count": (%d+)') or '0'
            local ran = last > clock and string.match(meta or '', '({"__type__".-})')
            meta = '{"last_run_at": ' .. (ran or stamp) .. ', "total_run_count": ' .. runs .. '}'
            if old[1] then supersede(id, old, at) end
            if old[1] and upcoming == '' then over[#over + 1] = key end
            since = begin
            if ticked > 0 then count_since(key, since, ticked) end
        elseif aside and redis.call('HEXISTS', KEYS[3], key) == 1 then
            supersede(id, old, at)
            since = at
            count_since(key, since, last_tick(key, old))
        end
        if upcoming ~= '' and not scheduled and not old[3] then
            due[#due + 1] = upcoming
            due[#due + 1] = key
        end
        redis.call('HSET', key, 'definition', ARGV[i+3], 'meta', meta, 'job', ARGV[i+4],
            'since', since or at, 'edit', edits)
        keys[#keys + 1] = key
        fingerprints[#fingerprints + 1] = id
        fingerprints[#fingerprints + 1] = ARGV[i+1]
    end
end
if #due > 0 then redis.call('ZADD', KEYS[1], unpack(due)) end
if #over > 0 then redis.call('ZREM', KEYS[1], unpack(over)) end
if #keys > 0 then
    redis.call('HSET', KEYS[2], unpack(fingerprints))
    redis.call('HDEL', KEYS[3], unpack(keys))
    -- Until the sync has ended, the registry is not the list that the service calls by these names.
    redis.call('HDEL', KEYS[8], 'etag', 'last_modified')
    wake(KEYS[4])
end
return {stale, passed}
