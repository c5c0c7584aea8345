-- Add the ok runs of a minute to the count of its job and day (ledger/day_count.py). They are counted
-- when the minute is closed, because an addition for each run would cost as much as its record.
--! prefixes count
--! uses store/checksum store/add_to_number
local sums_of_minutes = {}

-- Return the sum of the ok runs of a minute in progress, each as 10^13 plus its checksum.
local function sum_minute(known)
    local number, runs = string.match(known, '"minute":"(%d+) (.*)$')
    local sum = 0
    for second, took in string.gmatch(runs or '', '([^ :]+):[^ :]*:(%d*)') do
        if took ~= '' then sum = sum + 1e13 + checksum(number * 60 + second) end
    end
    return {day = number and math.floor(number / 1440), sum = string.format('%.0f', sum)}
end

-- Count the ok runs of a minute in progress. Many jobs have the same text, so one sum serves them.
local function count_minute(job_id, known, ttl)
    local found = sums_of_minutes[known] or sum_minute(known)
    sums_of_minutes[known] = found
    if found.sum == '0' then return end
    local key = count_prefix .. found.day
    add_to_number(key, job_id, found.sum)
    redis.call('EXPIRE', key, ttl)
end
