-- Decide by the job's overlap policy whether a run may begin while other runs of its job are open.
--
-- Returns '' if it may begin, nil if it is queued until the blocking run ends, otherwise why it must
-- not begin: "<reason>|<run id of the other run>". If it has to be claimed again soon, the reason is
-- `later`, and the other run is the one that it waits for.
--
-- A run that has begun keeps its job's place until it ends, even while it waits for its next
-- attempt. A place is valid only while its run is open. Catch-up runs go one after the other, so no
-- policy skips or ends them: they are queued in a separate line. The other runs follow the policy.
--! keys open going queued before
--! prefixes line
--! uses ledger/state ledger/older ledger/ask_to_end

-- Return the state of the run that has to begin before this one. nil if there is none. Such a run
-- has not begun: its message comes later than ours, or it waits to be claimed again.
local function state_of_earlier(earlier)
    local state = earlier and redis.call('HGET', open, earlier)
    local waits = state and is_first_attempt(state)
        and (is_kind(state, PENDING) or is_kind(state, WAITING))
    return waits and state or nil
end

-- Queue a run until the run in flight ends.
local function join_line(job_id, run_id)
    local line = line_prefix .. job_id
    -- Members with the same score are sorted as text, and without its `Z` a run id sorts by time.
    redis.call('ZADD', line, 0, string.sub(run_id, 1, -2))
    redis.call('EXPIRE', line, 86400)
end

-- Decide about a run while run `other` of its job is in flight.
local function decide_behind(other, other_state, job_id, run_id, policy)
    local next_up = redis.call('HGET', queued, job_id)
    local next_state = next_up and next_up ~= run_id and redis.call('HGET', open, next_up)
    local is_taken = next_state and is_kind(next_state, QUEUED)
    if policy == 'skip' or (policy == 'queue' and is_taken and older(next_up, run_id)) then
        return 'overlap|' .. (is_taken and next_up or other)
    end
    if policy == 'replace' then
        if older(run_id, other) then return 'replaced|' .. other end
        if is_taken and older(run_id, next_up) then return 'replaced|' .. next_up end
        if not has_flag(other_state, IN_TURN) then
            ask_to_end(other, other_state, 'replaced|' .. run_id)
        end
    end
    if is_taken then
        -- Only one run is queued. This run is the later one, and takes the place.
        local reason = policy == 'replace' and 'replaced|' or 'overlap|'
        ask_to_end(next_up, next_state, reason .. run_id)
    end
    redis.call('HSET', queued, job_id, run_id)
    return nil
end

local function overlap(job_id, run_id, state, document)
    local readable, fields = pcall(cjson.decode, document)
    local policy = readable and fields.overlap or 'skip'
    if policy == 'allow' then return '' end
    local has_begun, in_turn = not is_first_attempt(state), has_flag(state, IN_TURN)
    local other = redis.call('HGET', going, job_id)
    local other_state = other and other ~= run_id and redis.call('HGET', open, other)
    local earlier = not has_begun and other ~= run_id and redis.call('HGET', before, run_id)
    local earlier_state = state_of_earlier(earlier)
    if not other_state then
        if earlier_state then
            if policy ~= 'replace' or in_turn or has_flag(earlier_state, IN_TURN) then
                return 'later|' .. earlier
            end
            ask_to_end(earlier, earlier_state, 'replaced|' .. run_id)
        end
        redis.call('HSET', going, job_id, run_id)
        return ''
    end
    if has_begun then return 'later|' .. other end
    if earlier_state and (in_turn or policy == 'queue') then return 'later|' .. earlier end
    if in_turn then
        join_line(job_id, run_id)
        return nil
    end
    return decide_behind(other, other_state, job_id, run_id, policy)
end
