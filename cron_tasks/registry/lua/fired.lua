-- Return when an entry last fired, in seconds: the `last_run_at` of RedBeat's meta, which is the
-- time of its last tick or that of its last edit. 0 where the meta does not say.
local moment = '"year": (%d+), "month": (%d+), "day": (%d+), "hour": (%d+), "minute": (%d+), '
    .. '"second": (%d+), "microsecond": (%d+)'
local function fired(meta)
    if not meta then return 0 end
    local year, month, day, hour, minute, second, micro = string.match(meta, moment)
    if not year then return 0 end
    -- Days since 1970 in the Gregorian calendar, counted from the first of March.
    year, month = tonumber(year), tonumber(month)
    if month < 3 then year, month = year - 1, month + 12 end
    local days = 365 * year + math.floor(year / 4) - math.floor(year / 100)
        + math.floor(year / 400) + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second + micro / 1000000
end
