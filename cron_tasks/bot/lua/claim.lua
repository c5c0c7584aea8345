-- ARGV: the group, our name, the token of our lease if what we had counts, too, the prefix of
-- signs of life, milliseconds after which an idle consumer that has nothing is forgotten.
local taken = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local name, pending, idle = consumer[2], consumer[4], consumer[6]
    local owner = redis.call('GET', ARGV[4] .. name)
    if pending > 0 and (not owner or owner == ARGV[3]) then
        local all = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', pending, name)
        for _, entry in ipairs(all) do
            local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1])
            if claimed[1] then taken[#taken + 1] = claimed[1] end
        end
    elseif pending == 0 and not owner and idle > tonumber(ARGV[5]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    end
end
return taken
