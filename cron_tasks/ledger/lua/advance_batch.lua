-- Move due entries of plain jobs to their next fire time, and open their runs as one batch.
--
-- Refuses when another beat leads. Leaves the same entries as `advance`: those that were removed,
-- moved, or edited since the registry's edit `read_edit`. An entry that has fired this time before,
-- or whose run is open already, moves on without a run. Returns the ids of the jobs that have no
-- run in the batch.
--
-- `score` is the fire time as all entries have it, and `moment` is the same time in the spelling of
-- run ids. `upcoming` is the next fire time of the entries of a row, '' for none. `queue` is the
-- queue of the message. `are_new` is '' unless beat read all entries after its last tick, and none
-- had fired. `notifications` are the prepared templates for the worker of the batch, '' for none
-- (runs/prepared.py). They expire after a minute, because a batch that old is dissolved.
--
-- The last fire time of each entry goes into `fired`, a hash for all jobs, with the number of runs
-- since the entry was written. It is valid until the entry is written again (settle_fired.lua). One
-- command for all entries takes a fraction of the time of one command for each.
--! keys leader_lock schedule open batches deadlines edits fired
--! prefixes job_entry
--! args token pending_until read_edit batch score moment queue are_new notifications
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

-- Return which of the runs are open, in the order of the jobs.
local function read_open()
    if redis.call('EXISTS', open) == 0 then return {} end
    local run_ids = {}
    for n, job_id in ipairs(job_ids) do run_ids[n] = job_id .. '@' .. moment end
    return redis.call('HMGET', open, unpack(run_ids))
end
local already_open = read_open()

-- Return whether an entry is unchanged since beat read it.
local function is_current(n)
    local known = scores[n]
    if known ~= score and not (known and tonumber(known) == due) then return false end
    if not all_exist and redis.call('EXISTS', keys[n]) == 0 then return false end
    if not is_edited then return true end
    local edit = redis.pcall('HGET', keys[n], 'edit')
    local number = type(edit) ~= 'table' and tonumber(edit or 0)
    return number and number <= read
end

-- Most of these jobs also fired together the last time, so one answer serves many of them.
local answers = {}

-- Return the value of a job in `fired`. Before the first batch since its entry was written, the
-- entry has its last run.
local function read_last(n)
    local known = last_fired[n]
    if known and (answers[known] ~= nil or string.match(known, '^%d%S*Z %d+$')) then return known end
    if are_new ~= '' then return ' 0' end
    local run_id = redis.pcall('HGET', keys[n], 'fired')
    return (type(run_id) == 'string' and string.match(run_id, '@([^@]*)$') or '') .. ' 0'
end

-- Return the new value of a job in `fired` after its run at `moment`, or false if it has had that
-- run.
local function fire(last)
    local last_moment, runs = string.match(last, '^(%S*) (%d+)$')
    if last_moment ~= '' and not older(last_moment, moment) then return false end
    return moment .. ' ' .. runs + 1
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
            local last = read_last(n)
            if answers[last] == nil then answers[last] = fire(last) end
            if answers[last] and not already_open[n] then
                local size = #fires
                fires[size + 1], fires[size + 2] = job_id, answers[last]
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
    if notifications ~= '' then
        redis.call('SET', prepared_prefix .. batch, notifications, 'EX', 60)
    end
end
return refused
