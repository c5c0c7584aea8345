-- Account for a tick that ended: one that went well as a day's count, any other by a short record.
local counts = ARGV[5]
local function settle(job, tag, days)
    local day, sum = string.match(tag, '^(%d+):(%d+)$')
    if day then
        redis.call('HINCRBY', counts .. day, job, sum)
        days[day] = true
    else
        local when, line = string.match(tag, '^(%S+) (.*)$')
        account(ARGV[4] .. job, when, line, ARGV[8], ARGV[1])
    end
end
