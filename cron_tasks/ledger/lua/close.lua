-- Ended runs are open no more; the failed ones are in the dead list.
local function close(ids, records, failed)
    if #failed > 0 then
        redis.call('ZADD', KEYS[5], unpack(failed))
        redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -10001)
        redis.call('EXPIRE', KEYS[5], ARGV[7])
    end
    remember(KEYS[4], 10000, ARGV[7], unpack(records))
    redis.call('HDEL', KEYS[1], unpack(ids))
    redis.call('ZREM', KEYS[2], unpack(ids))
    redis.call('HDEL', KEYS[10], unpack(ids))
    redis.call('HDEL', KEYS[14], unpack(ids))
end
