local unwanted = {}
local stopping = redis.call('EXISTS', KEYS[3]) == 1
for i = 3, #ARGV do
    local open = redis.call('HGET', KEYS[1], ARGV[i])
    local why = stopping and redis.call('HGET', KEYS[3], ARGV[i])
    if not open or string.match(open, '^r|%d+|%a*|(.*)$') ~= ARGV[1] then
        why = 'lost|'
    else
        -- What runs when its job is removed goes on to its end.
        if why == 'removed|' then why = nil end
        redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i])
    end
    if why then
        unwanted[#unwanted + 1] = ARGV[i]
        unwanted[#unwanted + 1] = why
    end
end
return unwanted
