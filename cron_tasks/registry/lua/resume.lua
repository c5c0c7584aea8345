--! uses registry/supersede registry/adopt store/wake
-- End a pause. 'resumed', 'running' when there is none, or, when the next tick that is given is not
-- after what the entry has fired, the time from which the caller has to compute it.
local id, upcoming = ARGV[7], ARGV[8]
local key = prefix .. id
local old = redis.call('HMGET', key, 'definition', 'since', 'paused', 'meta', 'ticked')
if not old[3] then return 'running' end
local at = counts_from(settled(old))
if upcoming ~= '' and tonumber(upcoming) <= tonumber(at) then return at end
supersede(id, old, at)
count_since(key, at, last_tick(key, old))
adopt(ARGV[5] .. id, KEYS[1], key, KEYS[11], clock)
redis.call('HDEL', key, 'paused')
if upcoming ~= '' then
    redis.call('ZADD', KEYS[1], upcoming, key)
    wake_beat(KEYS[4])
end
return 'resumed'
