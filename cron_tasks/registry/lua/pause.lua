--! uses registry/supersede
-- Pause a job; the ticks that this overtook, or 0 when there is no such job.
local id, pause = ARGV[7], ARGV[8]
local key = prefix .. id
local old = redis.call('HMGET', key, 'definition', 'since', 'paused', 'meta', 'ticked')
if not old[1] then return 0 end
if not old[3] then
    local at = counts_from(settled(old))
    supersede(id, old, at)
    count_since(key, at, last_tick(key, old))
    redis.call('ZREM', KEYS[1], key)
end
redis.call('HSET', key, 'paused', pause)
return passed
