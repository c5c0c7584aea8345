--! uses registry/fired_until registry/adopt registry/forget_aside registry/edited registry/fenced store/wake
-- Write a page of jobs. Each row: id, fingerprint, timing, definition, document, next tick or ''. The
-- last may be followed by `|` and the tick's nominal time, where it is another, and by `@` and the
-- time after which the tick was computed, where that is not now.
-- A row whose next tick is not after what its entry has fired, or whose nominal time is not after
-- the last tick, is not written: the answer names it, as id and time, and the caller computes its
-- next tick from that time. So no tick fires twice, however old the caller's time is, and whatever
-- the jitter was when it fired. A second list names the ticks that were overtaken.
local refusal = fenced(KEYS[9], ARGV[7], KEYS[10], ARGV[8])
if refusal then return refusal end
local stamp, first = ARGV[9], 10
local fingerprints, keys, due, over, stale = {}, {}, {}, {}, {}
local aside, edits = redis.call('EXISTS', KEYS[3]) == 1, edited(KEYS[7])
local gone = redis.call('EXISTS', KEYS[5]) == 1
-- Return the meta of an entry whose timing is new; it keeps the number of runs.
local function begin_again(meta, last)
    local runs = meta and string.match(meta, '"total_run_count": (%d+)') or '0'
    local ran = last > clock and string.match(meta or '', '({"__type__".-})')
    return '{"last_run_at": ' .. (ran or stamp) .. ', "total_run_count": ' .. runs .. '}'
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
    local changed = not (old[1] and meta and string.find(old[1], timing, 1, true))
    local scheduled = not changed and redis.call('ZSCORE', KEYS[1], key)
    local removed = gone and redis.call('ZSCORE', KEYS[5], id)
    local last, ticked = fired_until(id, key, old, changed, removed)
    if upcoming ~= '' and not scheduled and tonumber(upcoming) <= last then
        stale[#stale + 1] = id
        stale[#stale + 1] = string.format('%.6f', last)
    elseif nominal ~= '' and tonumber(nominal) <= ticked then
        stale[#stale + 1] = id
        stale[#stale + 1] = upcoming
    else
        local at, unread = counts_from(last), aside and redis.call('HEXISTS', KEYS[3], key) == 1
        if not scheduled and (old[1] or gone) then
            adopt(ARGV[5] .. id, KEYS[1], key, KEYS[11], clock)
        end
        if unread then forget_aside(ARGV[5] .. id, at) end
        if changed then
            meta = begin_again(meta, last)
            if old[1] then supersede(id, old, at) end
            if old[1] and upcoming == '' then over[#over + 1] = key end
            since = counts_from(math.max(last, tonumber(after) or 0))
            if ticked > 0 then count_since(key, since, ticked) end
        elseif unread then
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
    wake_beat(KEYS[4])
end
return {stale, passed}
