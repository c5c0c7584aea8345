-- Return the `last_run_at` of a RedBeat meta in seconds since the epoch, 0 if it has none. It is
-- the time of the last tick or of the last edit.
--! uses registry/read_time
local moment = '"year": (%d+), "month": (%d+), "day": (%d+), "hour": (%d+), "minute": (%d+), '
    .. '"second": (%d+), "microsecond": (%d+)'
local function parse_last_run(meta)
    if not meta then return 0 end
    local year, month, day, hour, minute, second, microsecond = string.match(meta, moment)
    if not year then return 0 end
    -- Days since 1970 in the Gregorian calendar. A year begins in March, so that the leap day is
    -- its last day.
    year, month = tonumber(year), tonumber(month)
    if month < 3 then year, month = year - 1, month + 12 end
    local days = 365 * year + math.floor(year / 4) - math.floor(year / 100)
        + math.floor(year / 400) + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
    return read_time(((days * 24 + hour) * 60 + minute) * 60 + second + microsecond / 1000000) or 0
end
