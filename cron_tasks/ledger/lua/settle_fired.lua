-- Move the last fire time of a job from the hash `fired`, where batches store it as "<moment> <runs
-- since then>" (advance_batch.lua), into its entry, with RedBeat's meta.
--! keys fired

-- Return a number as JSON spells it: without leading zeros.
local function plain_number(text)
    return string.format('%.0f', tonumber(text))
end

-- A moment as run ids spell it.
local MOMENT = '^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)%.?(%d*)Z$'

-- Return RedBeat's JSON of a moment such as 2026-11-23T09:00:00.500Z.
local function format_moment(moment)
    local year, month, day, hour, minute, second, fraction = string.match(moment, MOMENT)
    return '{"__type__": "datetime", "year": ' .. plain_number(year) .. ', "month": '
        .. plain_number(month) .. ', "day": ' .. plain_number(day) .. ', "hour": '
        .. plain_number(hour) .. ', "minute": ' .. plain_number(minute) .. ', "second": '
        .. plain_number(second) .. ', "microsecond": '
        .. plain_number(string.sub(fraction .. '000000', 1, 6)) .. ', "timezone": "UTC"}'
end

local function settle_fired(job_id, entry)
    local last = redis.call('HGET', fired, job_id)
    if not last then return end
    redis.call('HDEL', fired, job_id)
    local meta = redis.pcall('HGET', entry, 'meta')
    -- The next sync writes an entry again that was deleted or overwritten.
    if type(meta) ~= 'string' then return end
    local moment, runs = string.match(last, '^(%S+) (%d+)$')
    -- What nobody of ours has written says nothing. The entry has the last run before.
    if not moment or not string.match(moment, MOMENT) then return end
    local before = string.match(meta, '"total_run_count": (%d+)') or 0
    redis.call('HSET', entry, 'fired', job_id .. '@' .. moment, 'meta',
        '{"last_run_at": ' .. format_moment(moment) .. ', "total_run_count": '
        .. plain_number(before + runs) .. '}')
end
