--! uses registry/supersede registry/fenced shared/wake
-- Write a page of jobs. Each row: id, fingerprint, timing, definition, document, next tick or ''.
-- A row whose next tick is not after what its entry has fired is not written: the answer names it,
-- as id and time, and the caller computes its next tick from that time. So no tick fires twice,
-- however old the caller's time is. A second list names the ticks that were overtaken.
local refusal = fenced(KEYS[9], ARGV[7], KEYS[10], ARGV[8])
if refusal then return refusal end
local stamp, first = ARGV[9], 10
local fingerprints, keys, due, over, stale = {}, {}, {}, {}, {}
local aside, edits = redis.call('EXISTS', KEYS[3]) == 1, redis.pcall('INCR', KEYS[7])
local gone = redis.call('EXISTS', KEYS[5]) == 1
if type(edits) ~= 'number' then
    redis.call('SET', KEYS[7], 1)
    edits = 1
end
for i = first, #ARGV, 6 do
    local id, timing, upcoming = ARGV[i], ARGV[i+2], ARGV[i+5]
    local key = prefix .. id
    local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta')
    if old.err then
        redis.call('DEL', key)
        old = {}
    end
    local since, meta = old[2], old[4]
    -- A job that was removed and comes back must not fire what it had fired before.
    local changed = not (old[1] and meta and string.find(old[1], timing, 1, true))
    local scheduled = not changed and redis.call('ZSCORE', KEYS[1], key)
    local last = settled(old)
    if gone then last = math.max(last, tonumber(redis.call('ZSCORE', KEYS[5], id) or 0)) end
    if upcoming ~= '' and not scheduled and tonumber(upcoming) <= last then
        stale[#stale + 1] = id
        stale[#stale + 1] = string.format('%.6f', last)
    else
        local at = counts_from(last)
        if changed then
            local runs = meta and string.match(meta, '"total_run_count": (%d+)') or '0'
            local ran = last > clock and string.match(meta or '', '({"__type__".-})')
            meta = '{"last_run_at": ' .. (ran or stamp) .. ', "total_run_count": ' .. runs .. '}'
            if old[1] then supersede(id, old, at) end
            if old[1] and upcoming == '' then over[#over + 1] = key end
            since = at
        elseif aside and redis.call('HEXISTS', KEYS[3], key) == 1 then
            supersede(id, old, at)
            since = at
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
