-- Return the record of a minute in progress, with its end.
local function close_minute(known)
    return string.match(known, '^%d+ (.*)$') .. '"}'
end
