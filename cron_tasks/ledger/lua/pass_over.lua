-- Record a tick or a stretch of ticks that will not run, and tell about it where the job wants it;
-- the record. `skip` is the run id where somebody had the tick skipped: that is done with.
local function pass_over(job, when, record, skip, queue, message)
    if queue ~= '' then
        tell({[queue] = {message}}, ARGV[9] ~= '', tonumber(ARGV[10]), KEYS[5], KEYS[6])
    end
    remember(ARGV[4] .. job, tonumber(ARGV[5]), ARGV[6], record)
    account(ARGV[7] .. job, when, record, ARGV[8], ARGV[2])
    if skip ~= '' then
        redis.call('ZREM', KEYS[10], skip)
        -- Reports are only kept where the service wants them.
        if KEYS[11] then redis.call('ZADD', KEYS[11], ARGV[2], job) end
    end
    return record
end
