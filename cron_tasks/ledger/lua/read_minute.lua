-- Functions that read a minute in progress (keep_minute.lua), and write it as a past minute of a job.
--! uses store/checksum
local known_minutes = {}

-- Return the day of a minute, and the sum of its ok runs, each as 10^13 plus its checksum
-- (ledger/day_count.py).
local function sum_minute(number, runs)
    local sum = 0
    for second, took in string.gmatch(runs, '([^ :]+):[^ :]*:(%d*)') do
        if took ~= '' then sum = sum + 1e13 + checksum(number * 60 + second) end
    end
    return math.floor(number / 1440), string.format('%.0f', sum)
end

-- Return the parts of a minute in progress, or nil for a text that is not a minute. Many jobs have the
-- same text. An earlier version stored the run id, too.
local function read_minute(known)
    if known_minutes[known] then return known_minutes[known] end
    local record = string.match(known, '^%d+ (.*)$')
    local moment = record and string.match(record, '"scheduled_for":"([^"]*)"')
    local number, runs = string.match(known, '"minute":"(%d+) (.*)$')
    if not moment or not number then return nil end
    local day, sum = sum_minute(number, runs)
    known_minutes[known] = {rest = record .. '"}', moment = moment, day = day, sum = sum}
    return known_minutes[known]
end

-- Return a minute as a whole record of a job.
local function write_past(found, job_id)
    if string.sub(found.rest, 1, 1) == '{' then return found.rest end
    return '{"run_id":' .. cjson.encode(job_id .. '@' .. found.moment) .. found.rest
end
