--! uses shared/wake
local opened = {}
for i = 3, #ARGV do
    if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[2]) == 1 then
        redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
        opened[#opened + 1] = ARGV[i]
    end
end
if #opened > 0 then wake(KEYS[3]) end
return opened
