local open = redis.call('HGET', KEYS[1], ARGV[1])
if open == ARGV[3] then return '' end
if open ~= ARGV[2] then return 'lost|' end
local why = redis.call('HGET', KEYS[3], ARGV[1])
if why then return why end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
return ''
