-- Keep the ordinary runs of quick jobs as one record a minute (ledger/minutes.py).
--
-- The minute in progress of each job is a field of `minute`: "<number of the minute> <record>". The
-- record has no run id and no end yet. So it is the same text for all jobs that have run in the same
-- batches. The first run of a later minute closes it: its ok runs are counted, and it goes into the
-- past minutes of its job, and into the newest runs of all jobs.
--
-- To close the minutes of many jobs takes as long as a second of their runs. So the jobs of a large
-- batch keep them open for some more seconds, the `overtime`, which differs from batch to batch. The
-- seconds in a record are counted from its own minute on, so they are 60 or more for these runs.
--! keys minute recent
--! prefixes minutes count
--! args history_runs history_ttl account_ttl
--! uses store/prepend store/add_to_number ledger/read_minute ledger/add_to_counts
local closing, closed_lines = {}, {}

local function prepend_past(job_id, line, is_first)
    local key = minutes_prefix .. job_id
    local length = redis.pcall('LPUSH', key, line)
    if type(length) == 'number' then
        if length > tonumber(history_runs) then redis.call('LTRIM', key, 0, history_runs - 1) end
        if is_first then redis.call('EXPIRE', key, history_ttl + 86400) end
    elseif not string.find(length.err, 'WRONGTYPE', 1, true) then
        error(length)
    end
    closed_lines[#closed_lines + 1] = line
end

-- Close a minute in progress that these jobs have in common. Its ok runs are counted unless they
-- `are_counted`. The past minutes of a job expire a day later than the history of other jobs, so that
-- their time to live is set only with the first minute of a day.
local function close_minute(known, job_ids, are_counted)
    local found = read_minute(known)
    if not found then return end
    local counts = {}
    if found.sum ~= '0' and not are_counted then
        local key = count_prefix .. found.day
        counts = add_to_counts(key, job_ids, found.sum)
        redis.call('EXPIRE', key, account_ttl)
    end
    for n, job_id in ipairs(job_ids) do
        prepend_past(job_id, write_past(found, job_id), not counts[n] or counts[n] == found.sum)
    end
end

local function close_minutes()
    for known, job_ids in pairs(closing) do close_minute(known, job_ids) end
    closing = {}
end

-- Add a run to a past minute. It ended after the first run of a later minute.
local function add_late(job_id, number, run, opening)
    close_minutes()
    local key, ending = minutes_prefix .. job_id, '"minute":"' .. number .. ' '
    local known = number .. ' ' .. opening
    local lines = redis.pcall('LRANGE', key, 0, 4)
    for n, line in ipairs(lines.err and {} or lines) do
        if string.find(line, ending, 1, true) then
            redis.call('LSET', key, n - 1, string.sub(line, 1, -3) .. ' ' .. run .. '"}')
            local found = read_minute(known)
            if found.sum ~= '0' then add_to_number(count_prefix .. found.day, job_id, found.sum) end
            closed_lines[#closed_lines + 1] = write_past(found, job_id)
            return
        end
    end
    close_minute(known, {job_id})
end

-- Return the seconds for which the jobs of a batch keep their minutes open. A few need not wait.
local function overtime_of(job_ids)
    local sum = 0
    if #job_ids >= 500 then
        for n = 1, #job_ids[1] do sum = (sum * 31 + string.byte(job_ids[1], n)) % 30 end
    end
    return sum
end

-- Return the minute in progress of these jobs with a run of minute `number`, or nil if the run cannot
-- be appended. A schedule has at most 60 fire times in a minute. A longer record means that the job is
-- edited very often. Runs of different days are never in one record, because counts are by day.
local function append_run(known, overtime, number, run)
    local later = number - (tonumber(string.match(known, '^(%d+) ')) or 0)
    local is_minute = string.find(known, '"minute":"', 1, true)
    if not is_minute or #known > 4000 or later < 0 or later > 1 then return nil end
    if later == 0 then return known .. ' ' .. run end
    local second, rest = string.match(run, '^([^:]+)(:.*)$')
    if number % 1440 == 0 or tonumber(second) >= overtime then return nil end
    return known .. ' ' .. string.format('%.8g', second + 60) .. rest
end

-- Return the minute in progress of these jobs with one more run. `known` is the minute so far, or
-- false. `opening` begins a record with this run.
local function add_run(known, job_ids, overtime, number, run, opening)
    local longer = known and append_run(known, overtime, number, run)
    if longer then return longer end
    if known then
        if tonumber(string.match(known, '^%d+') or 0) > tonumber(number) then
            for _, job_id in ipairs(job_ids) do add_late(job_id, number, run, opening) end
            return known
        end
        closing[known] = closing[known] or {}
        for _, job_id in ipairs(job_ids) do table.insert(closing[known], job_id) end
    end
    return number .. ' ' .. opening
end

-- Read the minutes in progress of these jobs. A key of another type must not block the ledger.
local function read_minutes(job_ids)
    local found = redis.pcall('HMGET', minute, unpack(job_ids))
    if not found.err then return found end
    redis.call('DEL', minute)
    return redis.call('HMGET', minute, unpack(job_ids))
end

-- Write the minutes in progress: `fields` is a flat list of job and minute. They are kept for as long
-- as the history and the counts.
local function write_minutes(fields)
    if #fields > 0 then
        redis.call('HSET', minute, unpack(fields))
        redis.call('EXPIRE', minute, math.max(history_ttl, account_ttl))
    end
    close_minutes()
    if #closed_lines > 0 then prepend(recent, 10000, history_ttl, unpack(closed_lines)) end
end
