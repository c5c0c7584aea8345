--! uses registry/edited
-- Take a skip back: 1, or 0 if there is none, or none any more.
local edits, skips, entry, id = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.call('ZREM', skips, id) == 0 then return 0 end
if redis.call('EXISTS', entry) == 1 then redis.call('HSET', entry, 'edit', edited(edits)) end
return 1
