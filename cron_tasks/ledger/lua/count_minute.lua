-- Count the ok runs of minutes in progress (ledger/day_count.py). They are counted when the minute is
-- closed, because an addition for each run would cost as much as its record.
--! prefixes count
--! uses store/checksum store/add_to_number ledger/add_to_counts
local sums_of_minutes, uncounted = {}, {}

-- Return the day of a minute in progress, and the sum of its ok runs, each as 10^13 plus its checksum.
local function sum_minute(known)
    local number, runs = string.match(known, '"minute":"(%d+) (.*)$')
    local sum = 0
    for second, took in string.gmatch(runs or '', '([^ :]+):[^ :]*:(%d*)') do
        if took ~= '' then sum = sum + 1e13 + checksum(number * 60 + second) end
    end
    return {day = number and math.floor(number / 1440), sum = string.format('%.0f', sum)}
end

-- Count the ok runs of a minute in progress with the next `write_counts`. Many jobs have the same
-- text, so one sum serves them.
local function count_minute(job_id, known)
    local found = sums_of_minutes[known] or sum_minute(known)
    sums_of_minutes[known] = found
    if found.sum == '0' then return end
    local group = uncounted[found] or {job_ids = {}, has = {}}
    uncounted[found] = group
    if group.has[job_id] then
        add_to_number(count_prefix .. found.day, job_id, found.sum)
    else
        group.job_ids[#group.job_ids + 1], group.has[job_id] = job_id, true
    end
end

local function write_counts(ttl)
    for found, group in pairs(uncounted) do
        local key = count_prefix .. found.day
        add_to_counts(key, group.job_ids, found.sum)
        redis.call('EXPIRE', key, ttl)
    end
    uncounted = {}
end
