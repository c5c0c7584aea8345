-- Remove runs that ended from all keys of open runs. `records` go into the newest runs of all jobs.
-- `failures` is a flat list of time and run id of the failed runs, which are listed as failed until
-- a rerun.
--! keys open deadlines recent failed attempts before expected
--! args now history_ttl
--! uses store/prepend

-- Runs that ended in time are no longer expected. Beat notifies about the others (tell_late.lua).
local function meet_expectations(run_ids)
    local in_time = {}
    for n, limit in ipairs(redis.call('ZMSCORE', expected, unpack(run_ids))) do
        if limit and tonumber(limit) >= tonumber(now) then in_time[#in_time + 1] = run_ids[n] end
    end
    if #in_time > 0 then redis.call('ZREM', expected, unpack(in_time)) end
end

local function close(run_ids, records, failures)
    if #failures > 0 then
        redis.call('ZADD', failed, unpack(failures))
        redis.call('ZREMRANGEBYRANK', failed, 0, -10001)
        redis.call('EXPIRE', failed, history_ttl)
    end
    if #records > 0 then prepend(recent, 10000, history_ttl, unpack(records)) end
    redis.call('HDEL', open, unpack(run_ids))
    redis.call('ZREM', deadlines, unpack(run_ids))
    redis.call('HDEL', attempts, unpack(run_ids))
    redis.call('HDEL', before, unpack(run_ids))
    if redis.call('EXISTS', expected) == 1 then meet_expectations(run_ids) end
end
