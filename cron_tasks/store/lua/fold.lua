--! uses store/checksum store/add_to_number
-- Return 100 records of a long account to fold, as a flat list of record and fire time: the oldest
-- skipped ones, and then the oldest others. A job that outgrew its interval skips thousands of fire
-- times, which must not displace the failures.
local function choose_foldable(key)
    local all, chosen, others = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), {}, {}
    for i = 1, #all, 2 do
        local is_skipped = string.find(all[i], '"status":"skipped"', 1, true)
            and not string.find(all[i], '"until":', 1, true)
        local list = is_skipped and chosen or others
        if #list < 200 then
            list[#list + 1], list[#list + 2] = all[i], all[i+1]
        end
    end
    for n = 1, math.min(#others, 200 - #chosen) do chosen[#chosen + 1] = others[n] end
    return chosen
end

-- Turn 100 records of a long account into counts, in a hash beside it. A field is an hour, a status
-- and a reason. Its value is the number of runs times 10^13 plus the sum of their checksums
-- (ledger/day_count.py). A manual run keeps its time, because no schedule can derive it. For a
-- stretch only the end is kept, because little is known about the time before it.
local function fold(key, ttl, now)
    local counts = string.gsub(key, ':account:', ':folded:', 1)
    -- A key of another type holds no counts.
    if redis.call('TYPE', counts).ok ~= 'hash' then redis.call('DEL', counts) end
    local oldest, folded = choose_foldable(key), {}
    for i = 1, #oldest, 2 do
        local readable, record = pcall(cjson.decode, oldest[i])
        local fire_time = tonumber(oldest[i+1])
        if readable and type(record) == 'table' and record.run_id then
            local reason = record.reason ~= cjson.null and record.reason or ''
            local ended = tostring(record.status) .. ':' .. tostring(reason)
            if type(record['until']) == 'string' then
                local known = redis.call('HGET', counts, 'until') or ''
                if record['until'] > known then
                    redis.call('HSET', counts, 'until', record['until'])
                end
            elseif record.by_hand or record.twice or record.status == 'ok'
                    or fire_time % 1 ~= 0 then
                local twice = record.twice and ':twice' or ''
                redis.call('HSET', counts, '@' .. oldest[i+1], ended .. twice)
            else
                local one = string.format('%.0f', 10000000000000 + checksum(fire_time))
                add_to_number(counts, math.floor(fire_time / 3600) .. ':' .. ended, one)
            end
            folded[#folded + 1] = oldest[i]
        elseif type(record) ~= 'table' then
            -- Another program has written it. It must not displace records.
            folded[#folded + 1] = oldest[i]
        end
    end
    if #folded > 0 then redis.call('ZREM', key, unpack(folded)) end
    -- The fields of a hash have no separate time to live.
    for _, field in ipairs(redis.call('HKEYS', counts)) do
        local hour, at = string.match(field, '^(%d+):'), string.match(field, '^@(.*)$')
        local time = hour and hour * 3600 or tonumber(at)
        if time and time < now - ttl then redis.call('HDEL', counts, field) end
    end
    redis.call('EXPIRE', counts, ttl)
end
