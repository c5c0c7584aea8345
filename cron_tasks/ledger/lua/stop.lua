--! uses store/unwanted store/wake
local told = {}
for i = 2, #ARGV do
    local open = redis.call('HGET', KEYS[1], ARGV[i])
    if open then
        unwanted(KEYS[3], KEYS[2], ARGV[i], open, ARGV[1])
        told[#told + 1] = ARGV[i]
    end
end
if #told > 0 then wake_beat(KEYS[4]) end
return told
