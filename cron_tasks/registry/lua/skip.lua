--! uses registry/keep_skip registry/edited
-- Skip a fire time of a job: 1, or 0 if it has fired, is skipped already, or is not scheduled.
-- What beat judged ahead counts no more, as after an edit. The job's next tick is news, where the
-- service wants reports (the fourth key).
local schedule, edits, skips = KEYS[1], KEYS[2], KEYS[3]
local entry, id, tick, now, job = unpack(ARGV)
local due = redis.call('ZSCORE', schedule, entry)
if not due or tonumber(due) > tonumber(tick) then return 0 end
if not keep_skip(skips, id, tick, now) then return 0 end
redis.call('HSET', entry, 'edit', edited(edits))
if KEYS[4] then redis.call('ZADD', KEYS[4], now, job) end
return 1
