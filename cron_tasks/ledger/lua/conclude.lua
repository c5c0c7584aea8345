-- End the runs of a batch as ok, and write history, account and notifications, all in one step. For
-- runs that were only pending it does the same as `finish`.
--
-- Returns 0 if the first line of the batch's record is no longer `seen`: the batch was concluded,
-- or members left it. Otherwise returns the run ids of the members that leave it now, because their
-- job was edited, paused or removed, or failed before.
--
-- The messages describe the jobs as they were when the batch was judged. `line` is the short record
-- of each run, and `tally` its addition to the count of `day`. In a row, `queue` is the queue of
-- the messages, '' for none, and `is_quick` is '' unless the jobs are quick. A run of a quick job
-- is added to minute `number` of its job as `brief`, and `opening` is the part after the run id in
-- a record that begins with it. Each run that ends adds `counts` to the counters, and each run with
-- a message adds `told_counts`.
--! keys batches open recent failing untold edits reports
--! prefixes job_entry history count
--! args batch seen now day tally line number brief opening counts told_counts history_runs history_ttl account_ttl reporting
--! rows queues(queue is_quick told(job_id payload))
--! uses store/prepend store/notify ledger/batch ledger/leave ledger/add_to_counts
--! uses store/add_to_counters ledger/keep_minute
local record = redis.call('HGET', batches, batch)
if not record or string.sub(record, 1, #seen + 1) ~= seen .. '\n' then return 0 end
local judged_at = tonumber(string.match(seen, '^%d+ (%S+)'))
local is_edited = (tonumber(redis.call('GET', edits) or 0) or 0) ~= judged_at
local any_failing = redis.call('EXISTS', failing, untold) > 0
local all_stay = not (is_edited or any_failing)

-- Return whether a run may end with its batch: its job was not edited since, and did not fail
-- before.
local function may_stay(job_id)
    if is_edited then
        local edit = redis.pcall('HGET', job_entry_prefix .. job_id, 'edit')
        local number = type(edit) == 'string' and tonumber(edit)
        if not number or number > judged_at then return false end
    end
    return not any_failing or (redis.call('HEXISTS', failing, job_id) == 0
        and redis.call('HEXISTS', untold, job_id) == 0)
end

local count_key = count_prefix .. day

-- Write the ends of runs to the histories and the counts of their jobs. Commands for each job cost
-- the most here. So the history is trimmed only every 16 runs. It expires a day later than that of
-- other runs, so that its time to live is set only with the first run of a day. One run is 10^13 in
-- a count (day_count.py).
local function write_ends(job_ids)
    local counts = add_to_counts(count_key, job_ids, tally)
    local most_kept, ttl = tonumber(history_runs), history_ttl + 86400
    for n, job_id in ipairs(job_ids) do
        local history = history_prefix .. job_id
        local length = redis.pcall('LPUSH', history, line)
        if type(length) == 'number' then
            if length > most_kept + 16 then redis.call('LTRIM', history, 0, most_kept - 1) end
            if length == 1 or tonumber(counts[n]) < 2e13 then redis.call('EXPIRE', history, ttl) end
        elseif not string.find(length.err, 'WRONGTYPE', 1, true) then
            error(length)
        end
    end
end

-- Add runs of quick jobs to their minutes. Most jobs of a batch have the same text in progress.
local function write_briefs(job_ids)
    local overtime, groups, fields = overtime_of(job_ids), {}, {}
    for n, known in ipairs(read_minutes(job_ids)) do
        groups[known] = groups[known] or {}
        table.insert(groups[known], job_ids[n])
    end
    for known, members in pairs(groups) do
        local text = add_run(known, members, overtime, number, brief, opening)
        for _, job_id in ipairs(members) do
            local size = #fields
            fields[size + 1], fields[size + 2] = job_id, text
        end
    end
    write_minutes(fields)
end

local notifications, ended, ended_ids, briefs, leaving, reported = {}, {}, {}, {}, {}, {}
local told_runs = 0
for _, queue, is_quick, told in queues() do
    local payloads = notifications[queue] or {}
    local already = #payloads
    local size = already
    for _, job_id, payload in each_told(told) do
        if all_stay or may_stay(job_id) then
            size = size + 1
            payloads[size] = payload
            if is_quick == '' then
                local n = #ended + 1
                ended[n], ended_ids[n] = line .. '\n' .. job_id, job_id
            else
                briefs[#briefs + 1] = job_id
            end
            if reporting ~= '' then
                reported[#reported + 1] = now
                reported[#reported + 1] = job_id
            end
        else
            leaving[#leaving + 1] = job_id
        end
    end
    if queue ~= '' and size > 0 then
        notifications[queue] = payloads
        told_runs = told_runs + size - already
    end
end
if #ended > 0 then
    write_ends(ended_ids)
    redis.call('EXPIRE', count_key, account_ttl)
    prepend(recent, 10000, history_ttl, unpack(ended))
end
if #briefs > 0 then write_briefs(briefs) end
notify(notifications)
add_to_counters({[counts] = #ended + #briefs, [told_counts] = told_runs})
if #reported > 0 then redis.call('ZADD', reports, unpack(reported)) end
write_batch(batch, '', {})
return leave(batch, leaving)
