-- Return the sum of two counts of a day, each as text (ledger/day_count.py): the number of runs, and
-- 13 digits for the sum of the checksums. Lua's numbers are exact up to 2^53 only, so the two parts
-- are added by themselves. A count that is not a number begins again at 0.
local function add_to_count(count, more)
    if not string.find(count, '^%d+$') then return more end
    local runs = (tonumber(string.sub(count, 1, -14)) or 0) + (tonumber(string.sub(more, 1, -14)) or 0)
    local checksums = tonumber(string.sub(count, -13)) + tonumber(string.sub(more, -13))
    if checksums >= 1e13 then runs, checksums = runs + 1, checksums - 1e13 end
    if runs == 0 then return string.format('%.0f', checksums) end
    return string.format('%.0f%013.0f', runs, checksums)
end
