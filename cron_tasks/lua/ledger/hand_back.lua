for i = 3, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i+1] then
        local attempt, flags = string.match(ARGV[i+1], '|(%d+)|(%a*)|')
        local again = 'p|' .. (tonumber(attempt) + tonumber(ARGV[2])) .. '|' .. flags .. '|'
        redis.call('HSET', KEYS[1], ARGV[i], again)
        redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
    end
end
return 1
