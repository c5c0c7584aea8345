-- Return a stored time in seconds since the epoch. Return nil for none, and for a value that is not a
-- time before the year 10000, which another program has written.
local function read_time(value)
    local time = tonumber(value or '')
    return time and time >= 0 and time < 253402300800 and time or nil
end
