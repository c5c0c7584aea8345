-- Move due entries to their next fire time and open their runs as pending, in one step.
--
-- Refuses when another beat leads. Leaves an entry that was removed, moved, or edited since the
-- registry's edit `read_edit`. Leaves a run whose fire time the entry has fired before, whatever the
-- entry's score says, and a run that is open already.
-- Returns the run ids that were not opened.
--
-- A run with a limit is expected to have ended by then (tell_late.lua).
-- `upcoming` is '' for an entry without a further fire time. `flags` are those of its runs.
--! keys leader_lock schedule open deadlines recent edits fired expected
--! prefixes job_entry
--! args token pending_until read_edit history_ttl
--! rows entries(entry score upcoming meta flags run_ids(run_id) limits(run_id limit) unfired(job_id fire_time record skip queue message counts))
--! uses ledger/state ledger/older ledger/open_pending ledger/record_unfired ledger/settle_fired
--! uses store/add_to_counters
if redis.call('GET', leader_lock) ~= token then
    return redis.error_reply('REFUSED another beat leads')
end
local read = tonumber(read_edit)
local is_edited = (tonumber(redis.call('GET', edits) or 0) or 0) ~= read
local keys = {}
for n, entry in entries() do keys[n] = entry end
local scores = redis.call('ZMSCORE', schedule, unpack(keys))
local all_exist = redis.call('EXISTS', unpack(keys)) == #keys

-- The runs that batches have fired for these entries count, too.
if redis.call('EXISTS', fired) == 1 then
    local job_ids = {}
    for n, entry in ipairs(keys) do job_ids[n] = string.sub(entry, #job_entry_prefix + 1) end
    for n, last in ipairs(redis.call('HMGET', fired, unpack(job_ids))) do
        if last then settle_fired(job_ids[n], keys[n]) end
    end
end

-- Return whether an entry is unchanged since beat read it.
local function is_current(n, entry, score)
    if not scores[n] or tonumber(scores[n]) ~= tonumber(score) then return false end
    if not all_exist and redis.call('EXISTS', entry) == 0 then return false end
    if not is_edited then return true end
    -- A number that cannot be read may stand for an edit since then.
    local edit = tonumber(redis.call('HGET', entry, 'edit') or 0)
    return edit and edit <= read
end

local moved, finished, records, refused, counted = {}, {}, {}, {}, {}
local opened, states, predecessors, expectations = {}, {}, {}, {}
local plain = write_state(PENDING, 1, '', '')
for n, entry, score, upcoming, meta, flags, run_ids, limits, unfired in entries() do
    if is_current(n, entry, score) then
        if upcoming == '' then
            finished[#finished + 1] = entry
        else
            local size = #moved
            moved[size + 1], moved[size + 2] = upcoming, entry
        end
        local last = redis.call('HGET', entry, 'fired') or ''
        local state = flags == '' and plain or write_state(PENDING, 1, flags, '')
        for _, run_id in each_run_ids(run_ids) do
            if last == '' or older(last, run_id) then
                local size = #opened + 1
                opened[size], states[size], predecessors[size] = run_id, state, last
                last = run_id
            else
                refused[#refused + 1] = run_id
            end
        end
        redis.call('HSET', entry, 'meta', meta, 'fired', last)
        for _, run_id, limit in each_limits(limits) do expectations[run_id] = limit end
        for _, job_id, fire_time, record, skip, queue, message, counts in each_unfired(unfired) do
            record_unfired(job_id, fire_time, record, skip, queue, message)
            records[#records + 1] = record
            counted[counts] = (counted[counts] or 0) + 1
        end
    else
        for _, run_id in each_run_ids(run_ids) do refused[#refused + 1] = run_id end
    end
end
if #moved > 0 then redis.call('ZADD', schedule, unpack(moved)) end
if #finished > 0 then redis.call('ZREM', schedule, unpack(finished)) end
-- An entry may have any number of runs, but Lua can unpack only some thousands of values.
for first = 1, #records, 1000 do
    local last = math.min(first + 999, #records)
    prepend(recent, 10000, history_ttl, unpack(records, first, last))
end
for first = 1, #opened, 1000 do
    local last = math.min(first + 999, #opened)
    open_pending(opened, states, predecessors, first, last, refused)
end
for _, run_id in ipairs(refused) do expectations[run_id] = nil end
for run_id, limit in pairs(expectations) do redis.call('ZADD', expected, limit, run_id) end
add_to_counters(counted)
return refused
