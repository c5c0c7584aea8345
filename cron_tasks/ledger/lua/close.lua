-- Take runs that ended out of all that is kept of open runs. `records` are theirs, `failures` a flat
-- list of time and run id for those that failed: the dead list, until they are run again.
--! keys open deadlines recent failed attempts before
--! args history_ttl
--! uses store/prepend
local function close(run_ids, records, failures)
    if #failures > 0 then
        redis.call('ZADD', failed, unpack(failures))
        redis.call('ZREMRANGEBYRANK', failed, 0, -10001)
        redis.call('EXPIRE', failed, history_ttl)
    end
    prepend(recent, 10000, history_ttl, unpack(records))
    redis.call('HDEL', open, unpack(run_ids))
    redis.call('ZREM', deadlines, unpack(run_ids))
    redis.call('HDEL', attempts, unpack(run_ids))
    redis.call('HDEL', before, unpack(run_ids))
end
