--! uses shared/account shared/wake registry/supersede
local fingerprints, keys, due, kept, over = {}, {}, {}, {}, {}
local aside, edits = redis.call('EXISTS', KEYS[3]) == 1, redis.pcall('INCR', KEYS[7])
if type(edits) ~= 'number' then
    redis.call('SET', KEYS[7], 1)
    edits = 1
end
for i = 8, #ARGV, 6 do
    local key, timing, upcoming = prefix .. ARGV[i], ARGV[i+2], ARGV[i+5]
    local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta', 'edit')
    if old.err then
        redis.call('DEL', key)
        old = {}
    end
    local since, meta, edit, scores = old[2], old[4], old[5], kept
    if not (old[1] and meta and string.find(old[1], timing, 1, true)) then
        local runs = meta and string.match(meta, '"total_run_count": (%d+)') or '0'
        meta = '{"last_run_at": ' .. ARGV[7] .. ', "total_run_count": ' .. runs .. '}'
        if old[1] then
            supersede(ARGV[i], old)
            if upcoming == '' then over[#over + 1] = key end
        end
        since, edit, scores = now, edits, due
    elseif aside and redis.call('HEXISTS', KEYS[3], key) == 1 then
        supersede(ARGV[i], old)
        since = now
    end
    if upcoming ~= '' and not old[3] then
        scores[#scores + 1] = upcoming
        scores[#scores + 1] = key
    end
    redis.call('HSET', key, 'definition', ARGV[i+3], 'meta', meta, 'job', ARGV[i+4],
        'since', since or now, 'edit', edit or edits)
    keys[#keys + 1] = key
    fingerprints[#fingerprints + 1] = ARGV[i]
    fingerprints[#fingerprints + 1] = ARGV[i+1]
end
if #due > 0 then redis.call('ZADD', KEYS[1], unpack(due)) end
if #kept > 0 then redis.call('ZADD', KEYS[1], 'NX', unpack(kept)) end
if #over > 0 then redis.call('ZREM', KEYS[1], unpack(over)) end
redis.call('HSET', KEYS[2], unpack(fingerprints))
redis.call('HDEL', KEYS[3], unpack(keys))
wake(KEYS[4])
return 1
