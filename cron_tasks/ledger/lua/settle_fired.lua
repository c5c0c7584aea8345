-- Write what batches have fired of a job into its entry: its last fire time, and RedBeat's meta.
-- Until then it counts in the hash `fired`, as "<moment> <number of runs>" (advance_batch.lua).
--! keys fired
local function settle_fired(job_id, entry)
    local last = redis.call('HGET', fired, job_id)
    if not last then return end
    redis.call('HDEL', fired, job_id)
    local moment, runs = string.match(last, '^(%S+) (%d+)$')
    local year, month, day, hour, minute, second, fraction =
        string.match(moment or '', '^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)%.?(%d*)Z$')
    -- An entry that somebody deleted is written again by the next sync.
    if not year or redis.call('EXISTS', entry) == 0 then return end
    local function number(text) return string.format('%d', tonumber(text)) end
    local microsecond = number(string.sub(fraction .. '000000', 1, 6))
    local meta = '{"last_run_at": {"__type__": "datetime", "year": ' .. number(year)
        .. ', "month": ' .. number(month) .. ', "day": ' .. number(day) .. ', "hour": '
        .. number(hour) .. ', "minute": ' .. number(minute) .. ', "second": ' .. number(second)
        .. ', "microsecond": ' .. microsecond .. ', "timezone": "UTC"}, "total_run_count": '
        .. runs .. '}'
    redis.pcall('HSET', entry, 'meta', meta, 'fired', job_id .. '@' .. moment)
end
