--! uses shared/account registry/supersede
local key = prefix .. ARGV[7]
local old = redis.call('HMGET', key, 'definition', 'since', 'paused')
if not old[1] then return 0 end
if not old[3] then
    supersede(ARGV[7], old)
    redis.call('HSET', key, 'since', now)
    redis.call('ZREM', KEYS[1], key)
end
redis.call('HSET', key, 'paused', ARGV[8])
return 1
