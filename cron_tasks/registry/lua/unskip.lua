--! uses registry/edited
-- Take a skip back: 1, or 0 if there is none, or none any more. The job's next tick is news, where
-- the service wants reports (the third key).
local edits, skips, entry, id = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.call('ZREM', skips, id) == 0 then return 0 end
if redis.call('EXISTS', entry) == 1 then redis.call('HSET', entry, 'edit', edited(edits)) end
if KEYS[3] then redis.call('ZADD', KEYS[3], ARGV[3], ARGV[4]) end
return 1
