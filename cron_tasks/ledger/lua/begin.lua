--! uses store/follow
-- Put ticks into the ledger as pending; those that it has already are refused. `before` names the
-- tick that the job of each fired last, or nothing.
local function begin(ticks, before, states, refused)
    local fields, deadlines, behind = {}, {}, {}
    for n, known in ipairs(redis.call('HMGET', KEYS[3], unpack(ticks))) do
        if known then
            refused[#refused + 1] = ticks[n]
        else
            fields[#fields + 1] = ticks[n]
            fields[#fields + 1] = states[n]
            deadlines[#deadlines + 1] = ARGV[3]
            deadlines[#deadlines + 1] = ticks[n]
        end
    end
    if #fields == 0 then return end
    redis.call('HSET', KEYS[3], unpack(fields))
    redis.call('ZADD', KEYS[4], unpack(deadlines))
    for n, open in ipairs(redis.call('HMGET', KEYS[3], unpack(before))) do
        if open then
            behind[#behind + 1] = ticks[n]
            behind[#behind + 1] = before[n]
        end
    end
    follow(KEYS[9], behind)
end
