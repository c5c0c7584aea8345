-- ARGV: our name, the token of our lease if ours is to go back, too, prefixes, now, a time.
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    local owner = redis.call('GET', ARGV[3] .. name)
    if not owner or owner == ARGV[2] then
        while redis.call('LMOVE', ARGV[4] .. name, KEYS[1], 'RIGHT', 'LEFT') do end
    end
    local seen = tonumber(redis.call('ZSCORE', KEYS[2], name))
    if not owner and seen < ARGV[5] - ARGV[6] then redis.call('ZREM', KEYS[2], name) end
end
return 1
