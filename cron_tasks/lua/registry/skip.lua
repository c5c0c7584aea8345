--! uses shared/account
local key, due = ARGV[3] .. ARGV[7], redis.call('ZSCORE', KEYS[1], ARGV[3] .. ARGV[7])
if not due or tonumber(due) ~= tonumber(ARGV[8]) then return 0 end
if ARGV[9] == '' then
    redis.call('ZREM', KEYS[1], key)
else
    redis.call('ZADD', KEYS[1], ARGV[9], key)
end
account(ARGV[5] .. ARGV[7], due, ARGV[10], tonumber(ARGV[2]), ARGV[1])
return 1
