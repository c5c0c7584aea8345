local keep
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local waiting = redis.call('XPENDING', KEYS[1], group[2])[2]
    local ms, number = string.match(waiting or group[8], '(%d+)-(%d+)')
    ms, number = tonumber(ms), tonumber(number) + (waiting and 0 or 1)
    if not keep or ms < keep[1] or ms == keep[1] and number < keep[2] then
        keep = {ms, number}
    end
end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', keep[1], keep[2]))
return 1
