-- End attempts: close their runs or schedule a retry, and write history, account and notifications
-- in one step. An outcome is used only if its run is still in `held`, the state during the attempt.
--
-- Returns two lists: the run ids whose state was different, and, flat, the positions of attempts
-- that must not be retried, each with the reason. Both changed nothing.
--
-- `at` is when the next attempt is due, or the fire time of a run that ended. account_for.lua
-- explains `day` and `tally`. `suppressed` is '' unless the notification of this end was too old.
-- `counted_as` is the number of a line of `counts`, its addition to the counters: most runs have
-- the same one. `reporting` is '' unless the REST service wants reports. An ordinary run of a quick
-- job has a brief in place of its record: "<minute> <run> <opening>" (keep_minute.lua).
--! keys open failed failing untold going stop reports wake pings
--! prefixes job_entry history count
--! args now history_runs history_ttl account_ttl reporting counts
--! rows outcomes(run_id job_id held record status at day tally suppressed counted_as messages(queue payload condition) heartbeats(ping))
--! uses store/prepend store/notify store/wake store/add_to_counters ledger/state ledger/count_failures ledger/is_wanted ledger/schedule_retry ledger/why_not_again ledger/account_for ledger/release ledger/close ledger/keep_minute ledger/is_registered ledger/await
local run_ids, entries = {}, {}
for n, run_id, job_id in outcomes() do
    run_ids[n], entries[n] = run_id, job_entry_prefix .. job_id
end
local open_states = redis.call('HMGET', open, unpack(run_ids))
-- Usually nothing fails, is stopped or overlaps. One check saves one for each run.
local all_exist = redis.call('EXISTS', unpack(entries)) == #entries
local any_failing = redis.call('EXISTS', failing, untold) > 0
local any_dead = redis.call('EXISTS', failed) == 1
local any_going = redis.call('EXISTS', going, stop) > 0
local any_awaited = redis.call('EXISTS', awaited) == 1

local most_kept = tonumber(history_runs)
local queues, days, reported = {}, {}, {}
local closed, records, failures = {}, {}, {}
local refused, not_again, counted = {}, {}, {}
local is_wake_due = false
local brief_jobs, briefs = {}, {}

-- Add the ordinary runs of quick jobs to their minutes. Several may belong to one job.
local function keep_briefs()
    local open_minutes, fields = {}, {}
    for n, known in ipairs(read_minutes(brief_jobs)) do open_minutes[brief_jobs[n]] = known end
    for n, job_id in ipairs(brief_jobs) do
        local number, run, opening = string.match(briefs[n], '^(%d+) (%S+) (.*)$')
        open_minutes[job_id] = add_run(open_minutes[job_id], {job_id}, 0, number, run, opening)
    end
    for job_id, known in pairs(open_minutes) do
        fields[#fields + 1], fields[#fields + 2] = job_id, known
    end
    write_minutes(fields)
end

-- Return whether the earlier outcome of a run stays, although its rerun was skipped: the rerun did
-- not begin, or it was stopped and the run had failed before.
local function keeps_earlier_outcome(run_id, state, record)
    if not has_flag(state, RERUN) then return false end
    local did_run = not string.find(record, '"attempt":0,', 1, true)
    return not did_run or redis.call('ZSCORE', failed, run_id)
end

-- Keep the pings of a run for the worker that sends them. If nobody empties the list, it stops
-- growing.
local function keep_pings(heartbeats)
    for _, ping in each_heartbeats(heartbeats) do
        if redis.call('LLEN', pings) < 10000 then
            redis.call('RPUSH', pings, ping)
            redis.call('EXPIRE', pings, 86400)
        end
    end
end

local function collect_messages(messages, failures_in_a_row)
    for _, queue, payload, condition in each_messages(messages) do
        if condition == '' or is_wanted(condition, failures_in_a_row) then
            local payloads = queues[queue] or {}
            payloads[#payloads + 1] = payload
            queues[queue] = payloads
        end
    end
end

for n, run_id, job_id, held, record, status, at, day, tally, suppressed, counted_as, messages, heartbeats in outcomes() do
    local reason = nil
    if open_states[n] == held and status == 'retry' then
        reason = why_not_again(run_id, held, job_id)
    end
    if open_states[n] ~= held then
        refused[#refused + 1] = run_id
    elseif reason then
        not_again[#not_again + 1] = tostring(n)
        not_again[#not_again + 1] = reason
    else
        local exists = all_exist or is_registered(job_id)
        local failures_in_a_row = 0
        if exists and (status == 'failed' or (any_failing and status == 'ok')) then
            failures_in_a_row = count_failures(job_id, status, suppressed ~= '')
        end
        collect_messages(messages, failures_in_a_row)
        keep_pings(heartbeats)
        counted[counted_as] = (counted[counted_as] or 0) + 1
        if status == 'retry' then
            schedule_retry(run_id, held, record, at)
            is_wake_due = true
        else
            local is_brief = string.find(record, '^%d+ ')
            if is_brief then
                if exists then
                    brief_jobs[#brief_jobs + 1], briefs[#briefs + 1] = job_id, record
                else
                    local number, opening = string.match(record, '^(%d+) %S+ (.*)$')
                    local found = read_minute(number .. ' ' .. opening)
                    records[#records + 1] = write_past(found, job_id)
                end
                -- The ok runs of a minute are counted together.
                if not exists or status ~= 'ok' then account_for(job_id, at, day, tally, days) end
            elseif status ~= 'skipped' or not keeps_earlier_outcome(run_id, held, record) then
                if exists then
                    prepend(history_prefix .. job_id, most_kept, history_ttl, record)
                end
                account_for(job_id, at, day, tally, days)
            end
            if status == 'failed' then
                failures[#failures + 1] = now
                failures[#failures + 1] = run_id
            elseif any_dead and status == 'ok' and has_flag(held, RERUN) then
                redis.call('ZREM', failed, run_id)
            end
            closed[#closed + 1] = run_id
            if not is_brief then records[#records + 1] = record end
            if reporting ~= '' then
                reported[#reported + 1] = now
                reported[#reported + 1] = job_id
            end
            if any_going and release(run_id, job_id) then is_wake_due = true end
            if any_awaited and end_waiting(run_id, now) then is_wake_due = true end
        end
    end
end
notify(queues)
add_lines_to_counters(counts, counted)
for day in pairs(days) do redis.call('EXPIRE', count_prefix .. day, account_ttl) end
if is_wake_due then wake_beat(wake) end
if #reported > 0 then redis.call('ZADD', reports, unpack(reported)) end
if #closed > 0 then close(closed, records, failures) end
if #brief_jobs > 0 then keep_briefs() end
return {refused, not_again}
