-- Keep the ordinary runs of quick jobs as one record a minute (ledger/minutes.py).
--
-- The minute in progress of each job is a field of `minute`: "<number of the minute> <record>". The
-- record has no run id and no end yet. So it is the same text for all jobs that have run in the same
-- batches. The first run of a later minute closes it: its ok runs are counted, and it goes into the
-- past minutes of its job, and into the newest runs of all jobs.
--! keys minute recent
--! prefixes minutes
--! args history_runs history_ttl account_ttl
--! uses store/prepend ledger/close_minute ledger/count_minute
local closed_minutes = {}

local function keep_past(job_id, known)
    local line = close_minute(job_id, known)
    if not line then return end
    local key = minutes_prefix .. job_id
    prepend(key, tonumber(history_runs), history_ttl, line)
    closed_minutes[#closed_minutes + 1] = line
end

local function count_and_keep(job_id, known)
    count_minute(job_id, known)
    keep_past(job_id, known)
end

-- Add a run to a past minute. It ended after the first run of a later minute.
local function add_late(job_id, number, run, opening)
    local key, ending = minutes_prefix .. job_id, '"minute":"' .. number .. ' '
    local known = number .. ' ' .. opening
    count_minute(job_id, known)
    local found = redis.pcall('LRANGE', key, 0, 4)
    for n, line in ipairs(found.err and {} or found) do
        if string.find(line, ending, 1, true) then
            redis.call('LSET', key, n - 1, string.sub(line, 1, -3) .. ' ' .. run .. '"}')
            closed_minutes[#closed_minutes + 1] = close_minute(job_id, known)
            return
        end
    end
    keep_past(job_id, known)
end

-- Return whether a run of minute `number` can be appended to the minute in progress. A schedule has
-- at most 60 fire times in a minute. A longer record means that the job is edited very often.
local function is_in_progress(known, number)
    return known and #known < 4000 and string.sub(known, 1, #number + 1) == number .. ' '
end

-- Return the minute in progress of a job with one more run. `known` is the minute so far, or false.
-- `opening` begins a record with this run.
local function add_run(known, job_id, number, run, opening)
    if is_in_progress(known, number) then return known .. ' ' .. run end
    if known then
        if tonumber(string.match(known, '^%d+') or 0) > tonumber(number) then
            add_late(job_id, number, run, opening)
            return known
        end
        count_and_keep(job_id, known)
    end
    return number .. ' ' .. opening
end

-- Read the minutes in progress of these jobs. A key of another type must not block the ledger.
local function read_minutes(job_ids)
    local found = redis.pcall('HMGET', minute, unpack(job_ids))
    if not found.err then return found end
    redis.call('DEL', minute)
    return {}
end

-- Write the minutes in progress: `fields` is a flat list of job and minute. They are kept for as long
-- as the history and the counts.
local function write_minutes(fields)
    if #fields > 0 then
        redis.call('HSET', minute, unpack(fields))
        redis.call('EXPIRE', minute, math.max(history_ttl, account_ttl))
    end
    write_counts(account_ttl)
    if #closed_minutes > 0 then prepend(recent, 10000, history_ttl, unpack(closed_minutes)) end
end
