-- Take a broken entry out of the schedule. Its fingerprint goes, so that the next sync writes the
-- job again, or removes it.
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then
    if due then
        local line = '{"from": ' .. due .. ', "status": "missed", "reason": "set_aside"}'
        redis.call('ZADD', ARGV[4] .. ARGV[3], due, line)
        redis.call('EXPIRE', ARGV[4] .. ARGV[3], ARGV[5])
    end
    redis.call('HSET', KEYS[3], ARGV[3], '')
    redis.call('HDEL', KEYS[4], 'etag', 'last_modified')
end
return 1
