--! uses registry/supersede
-- Pause a job; the ticks that this overtook, or 0 when there is no such job.
local id, pause = ARGV[7], ARGV[8]
local key = prefix .. id
local old = redis.call('HMGET', key, 'definition', 'since', 'paused', 'meta')
if not old[1] then return 0 end
if not old[3] then
    local at = counts_from(settled(old))
    supersede(id, old, at)
    redis.call('HSET', key, 'since', at)
    redis.call('ZREM', KEYS[1], key)
end
redis.call('HSET', key, 'paused', pause)
return passed
