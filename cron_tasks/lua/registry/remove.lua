--! uses shared/account registry/supersede
for i = 8, #ARGV do
    local key = prefix .. ARGV[i]
    local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused')
    supersede(ARGV[i], old.err and {} or old)
    redis.call('ZADD', KEYS[5], now, ARGV[i])
    redis.call('ZREM', KEYS[1], key)
    redis.call('DEL', key, ARGV[7] .. ARGV[i])
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], key)
    redis.call('HDEL', KEYS[6], ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', '(' .. (now - days))
redis.call('EXPIRE', KEYS[5], days)
return 1
