-- Move due entries of plain jobs to their next fire time, and open their runs as one batch.
--
-- Refuses when another beat leads. Leaves an entry as `advance` does: if it was removed, moved, or
-- edited since the registry's edit `read_edit`. An entry that has fired this time before moves on
-- without a run. Returns the ids of the jobs that have no run in the batch.
--
-- `score` is the fire time as all entries have it, and `moment` the same as run ids spell it. Of the
-- entries of a row, `upcoming` is the next fire time, '' for none. `queue` is that of the message.
--
-- The last fire time of each entry goes into `fired`, a hash for all jobs, with the number of its
-- runs. It counts until the entry is written the next time (settle_fired.lua): one command for all
-- of them takes a fraction of the time of one for each entry.
--! keys leader_lock schedule batches deadlines edits fired
--! prefixes job_entry
--! args token pending_until read_edit batch score moment queue
--! rows moves(upcoming members(job_id))
--! uses ledger/older ledger/batch
if redis.call('GET', leader_lock) ~= token then
    return redis.error_reply('REFUSED another beat leads')
end
local read = tonumber(read_edit)
local is_edited = (tonumber(redis.call('GET', edits) or 0) or 0) ~= read
local due = tonumber(score)
local job_ids, keys = {}, {}
for _, _, members in moves() do
    for _, job_id in each_members(members) do
        local size = #keys + 1
        job_ids[size], keys[size] = job_id, job_entry_prefix .. job_id
    end
end
local scores = redis.call('ZMSCORE', schedule, unpack(keys))
local all_exist = redis.call('EXISTS', unpack(keys)) == #keys
local last_fired = redis.call('HMGET', fired, unpack(job_ids))

-- Return whether an entry is still as beat has read it.
local function is_current(n)
    local known = scores[n]
    if known ~= score and not (known and tonumber(known) == due) then return false end
    if not all_exist and redis.call('EXISTS', keys[n]) == 0 then return false end
    if not is_edited then return true end
    local edit = redis.pcall('HGET', keys[n], 'edit')
    return type(edit) ~= 'table' and tonumber(edit or 0) <= read
end

-- Return the moment of the last run of a job, '' for none, and how many it has had. The entry has
-- them until its first batch.
local function read_last(n)
    if last_fired[n] then return string.match(last_fired[n], '^(%S*) (%d+)$') end
    local fields = redis.pcall('HMGET', keys[n], 'fired', 'meta')
    local run_id, meta = fields[1], fields[2]
    local runs = meta and string.match(meta, '"total_run_count": (%d+)') or 0
    return run_id and string.match(run_id, '@([^@]*)$') or '', runs
end

local moved, finished, fires, opened, refused = {}, {}, {}, {}, {}
local n = 0
for _, upcoming, members in moves() do
    for _, job_id in each_members(members) do
        n = n + 1
        local is_opened = false
        if is_current(n) then
            if upcoming == '' then
                finished[#finished + 1] = keys[n]
            else
                local size = #moved
                moved[size + 1], moved[size + 2] = upcoming, keys[n]
            end
            local last, runs = read_last(n)
            if last == '' or older(last, moment) then
                local size = #fires
                fires[size + 1], fires[size + 2] = job_id, moment .. ' ' .. runs + 1
                opened[#opened + 1] = job_id
                is_opened = true
            end
        end
        if not is_opened then refused[#refused + 1] = job_id end
    end
end
if #moved > 0 then redis.call('ZADD', schedule, unpack(moved)) end
if #finished > 0 then redis.call('ZREM', schedule, unpack(finished)) end
if #opened > 0 then
    redis.call('HSET', fired, unpack(fires))
    write_batch(batch, read_edit .. ' ' .. score .. ' ' .. queue, opened)
    redis.call('ZADD', deadlines, pending_until, batch)
end
return refused
