--! uses shared/account shared/wake registry/supersede
local key = prefix .. ARGV[7]
local old = redis.call('HMGET', key, 'definition', 'since', 'paused')
if not old[3] then return 0 end
supersede(ARGV[7], old)
redis.call('HSET', key, 'since', now)
redis.call('HDEL', key, 'paused')
if ARGV[8] ~= '' then
    redis.call('ZADD', KEYS[1], ARGV[8], key)
    wake(KEYS[4])
end
return 1
