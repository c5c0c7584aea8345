--! uses registry/supersede registry/fenced
-- Remove a page of jobs, given by their ids; the ticks that this overtook. What they were stays in their versions, and until when
-- in `removed`, so that one that comes back fires nothing a second time.
local refusal = fenced(KEYS[9], ARGV[7], KEYS[10], ARGV[8])
if refusal then return refusal end
local history, first = ARGV[9], 10
for i = first, #ARGV do
    local id = ARGV[i]
    local key = prefix .. id
    local old = redis.pcall('HMGET', key, 'definition', 'since', 'paused', 'meta', 'ticked')
    if old.err then old = {} end
    local at = counts_from(settled(old))
    supersede(id, old, at)
    redis.call('ZADD', KEYS[5], at, id)
    redis.call('ZREM', KEYS[1], key)
    redis.call('DEL', key, history .. id)
    redis.call('HDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[3], key)
    redis.call('HDEL', KEYS[6], id)
    redis.call('HDEL', KEYS[12], id)
end
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', '(' .. (now - days))
redis.call('EXPIRE', KEYS[5], days)
redis.call('HDEL', KEYS[8], 'etag', 'last_modified')
return passed
