--! uses registry/fenced
-- Write fields of a hash for a sync; with 'all' what it held before is gone.
local refusal = fenced(KEYS[1], ARGV[1], KEYS[2], ARGV[2])
if refusal then return refusal end
if ARGV[3] == 'all' then redis.call('DEL', KEYS[3]) end
if #ARGV > 3 then redis.call('HSET', KEYS[3], unpack(ARGV, 4)) end
return 1
