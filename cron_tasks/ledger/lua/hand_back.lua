-- Make runs pending again. A pending run has for its holder how often its message was sent again.
-- ARGV[2]: '' as it was, 'attempt' with a further attempt, 'sent' after its message was sent again.
for i = 3, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i+1] then
        local state, attempt, flags, sent = string.match(ARGV[i+1], '^(%a)|(%d+)|(%a*)|(.*)$')
        if state ~= 'p' then sent = '' end
        if ARGV[2] == 'attempt' then attempt = attempt + 1 end
        if ARGV[2] == 'sent' then sent = (tonumber(sent) or 0) + 1 end
        redis.call('HSET', KEYS[1], ARGV[i], 'p|' .. attempt .. '|' .. flags .. '|' .. sent)
        redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
    end
end
return 1
