-- Account for a tick that ended: one that went well as a day's count, any other in full.
local counts = ARGV[5]
local function settle(job, tag, record, days)
    local day, sum = string.match(tag, '^(%d+):(%d+)$')
    if day then
        redis.call('HINCRBY', counts .. day, job, sum)
        days[day] = true
    else
        account(ARGV[4] .. job, tag, record, ARGV[8], ARGV[1])
    end
end
