for i = 2, #ARGV, 3 do
    local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if not score then
        -- Another took this for dead and reported too: who was last is not known.
        redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i])
    elseif tonumber(score) == tonumber(ARGV[i+1]) then
        if ARGV[i+2] == '' then
            redis.call('ZREM', KEYS[1], ARGV[i])
        else
            redis.call('ZADD', KEYS[1], ARGV[i+2], ARGV[i])
        end
    end
end
return 1
