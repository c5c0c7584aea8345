-- Put ticks into the ledger as pending; those that it has already are refused.
local function begin(ticks, refused)
    local fields, deadlines = {}, {}
    for n, known in ipairs(redis.call('HMGET', KEYS[3], unpack(ticks))) do
        if known then
            refused[#refused + 1] = ticks[n]
        else
            fields[#fields + 1] = ticks[n]
            fields[#fields + 1] = 'p|1||'
            deadlines[#deadlines + 1] = ARGV[3]
            deadlines[#deadlines + 1] = ticks[n]
        end
    end
    if #fields > 0 then
        redis.call('HSET', KEYS[3], unpack(fields))
        redis.call('ZADD', KEYS[4], unpack(deadlines))
    end
end
