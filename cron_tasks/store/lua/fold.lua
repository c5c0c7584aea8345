--! uses store/checksum
-- Keep the oldest records of a long account as counts by hour, status and reason, in a hash beside
-- it: their number times 10^13 plus the sum of their checksums. What was asked for by hand keeps its
-- time, since no schedule tells it. Of a stretch only its end stays: before it, little is known.
local function fold(key, ttl, now)
    local counts = string.gsub(key, ':account:', ':folded:', 1)
    local old, gone = redis.call('ZRANGE', key, 0, 99, 'WITHSCORES'), {}
    for i = 1, #old, 2 do
        local read, line = pcall(cjson.decode, old[i])
        local when = tonumber(old[i+1])
        if read and type(line) == 'table' and line.run_id then
            local ended = tostring(line.status) .. ':' .. (line.reason ~= cjson.null and line.reason or '')
            if line['until'] then
                local known = redis.call('HGET', counts, 'until') or ''
                if line['until'] > known then redis.call('HSET', counts, 'until', line['until']) end
            elseif line.by_hand or line.twice or line.status == 'ok' or when % 1 ~= 0 then
                redis.call('HSET', counts, '@' .. old[i+1], ended .. (line.twice and ':twice' or ''))
            else
                local one = string.format('%.0f', 10000000000000 + checksum(when))
                redis.call('HINCRBY', counts, math.floor(when / 3600) .. ':' .. ended, one)
            end
            gone[#gone + 1] = old[i]
        end
    end
    if #gone > 0 then redis.call('ZREM', key, unpack(gone)) end
    for _, field in ipairs(redis.call('HKEYS', counts)) do
        local hour, at = string.match(field, '^(%d+):'), string.match(field, '^@(.*)$')
        local time = hour and hour * 3600 or tonumber(at)
        if time and time < now - ttl then redis.call('HDEL', counts, field) end
    end
    redis.call('EXPIRE', counts, ttl)
end
