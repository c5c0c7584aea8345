-- Give runs to a holder, each with a lease: those that are pending and may begin.
--
-- Returns a value for each row: 0 where the run is not the holder's, the job's document where it is
-- the first attempt of a quick action, otherwise {state, document, failed attempts, verdict}. A run
-- with a verdict is granted only to be concluded. The verdict is the reason why it must not begin.
-- The runs of a job in the index whose entry is missing stay pending. A claim whose answer was lost
-- may be repeated.
--! keys open deadlines stop attempts
--! prefixes job_entry
--! args holder lease_until ask_again_at
--! rows runs(run_id job_id)
--! uses ledger/state ledger/overlap ledger/await ledger/is_registered
local run_ids, granted, states, scores = {}, {}, {}, {}

local function set_state(run_id, state, deadline)
    local size = #states
    states[size + 1], states[size + 2] = run_id, state
    scores[size + 1], scores[size + 2] = deadline, run_id
end

-- Return why a pending run must not begin, or nil: it has a cancel reason, or its job is paused. A
-- pause does not stop a manual run.
local someone_stops = redis.call('EXISTS', stop) == 1
local function why_not_begin(run_id, state, paused)
    if not is_kind(state, PENDING) then return nil end
    local reason = someone_stops and redis.call('HGET', stop, run_id)
    if reason then return reason end
    return paused and not has_flag(state, BY_HAND) and 'paused|' or nil
end

-- Claim a run that is not simply the first attempt of a quick action.
local function claim(run_id, job_id, state, document, reason)
    local kind, attempt, flags, owner = read_state(state)
    if not (kind == PENDING or (kind == RUNNING and owner == holder)) then return 0 end
    local verdict = reason or ''
    if not reason and string.find(document, '"action":', 1, true) then
        verdict = overlap(job_id, run_id, state, document)
    end
    if not verdict then
        -- The run gets the place as soon as it is free, so nobody has to check it sooner.
        local flagged = string.gsub(flags, WAS_QUEUED, '') .. WAS_QUEUED
        set_state(run_id, write_state(QUEUED, attempt, flagged, ''), lease_until)
        return 0
    end
    local other = string.match(verdict, '^later|(.*)$')
    if other then
        set_state(run_id, write_state(WAITING, attempt, flags, ''), ask_again_at)
        await(run_id, other)
        return 0
    end
    local running = write_state(RUNNING, attempt, flags, holder)
    set_state(run_id, running, lease_until)
    local failed = attempt ~= '1' and redis.call('HGET', attempts, run_id) or ''
    return {running, document, failed, verdict}
end

local first_pending = write_state(PENDING, 1, '', '')
local first_running = write_state(RUNNING, 1, '', holder)
for n, run_id in runs() do run_ids[n] = run_id end
local open_states = redis.call('HMGET', open, unpack(run_ids))
for n, run_id, job_id in runs() do
    local state = open_states[n]
    granted[n] = 0
    if state then
        local job = redis.pcall('HMGET', job_entry_prefix .. job_id, 'job', 'paused')
        local document, paused = job[1] or '', job[2]
        local is_entry_missing = document == '' and is_listed(job_id)
        local is_quick = document ~= '' and not string.find(document, '"action":', 1, true)
        local reason = (paused or someone_stops) and why_not_begin(run_id, state, paused)
        if is_entry_missing and not reason then
            -- The sweep sends it again once a sync has written the entry.
            set_state(run_id, state, ask_again_at)
        elseif reason == 'paused|' or reason == 'removed|' then
            -- The sweep ends it, because it knows the failed attempts so far, and whom to notify.
            set_state(run_id, state, 0)
        elseif state == first_pending and is_quick and not reason then
            granted[n] = document
            set_state(run_id, first_running, lease_until)
        else
            granted[n] = claim(run_id, job_id, state, document, reason)
        end
    end
end
if #states > 0 then
    redis.call('HSET', open, unpack(states))
    redis.call('ZADD', deadlines, unpack(scores))
end
return granted
