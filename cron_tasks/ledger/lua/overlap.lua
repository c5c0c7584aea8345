--! uses store/older store/unwanted
-- Return whether a run of a job may go while others of its job are open: '' it may, nil it is queued
-- until the run in the way ends, 'later' it asks again soon, otherwise why it must not.
-- A run that has begun keeps its place until it ends, in whatever state it waits for its next
-- attempt. `begun` tells whether this one has. A place counts only while its run is open.
-- Runs with the flag `c` make up for ticks that nothing ran. They go one after the other, so no
-- policy skips or ends them: they stand in a line of their own, and the others keep to the policy.

local function makes_up(state) return string.find(state, '^%a|%d+|%a*c') end

local function overlap(job, id, state, document)
    local read, fields = pcall(cjson.decode, document)
    local policy = read and fields.overlap or 'skip'
    if policy == 'allow' then return '' end
    local begun, patient = not string.find(state, '^%a|1|'), makes_up(state)
    local other = redis.call('HGET', KEYS[3], job)
    local going = other and other ~= id and redis.call('HGET', KEYS[1], other)
    local first = not begun and other ~= id and redis.call('HGET', KEYS[7], id)
    local ahead = first and redis.call('HGET', KEYS[1], first)
    -- The run before this one has not begun: its message comes later than ours.
    ahead = ahead and string.find(ahead, '^[pw]|1|') and ahead
    if not going then
        if ahead and (policy ~= 'replace' or patient or makes_up(ahead)) then return 'later' end
        if ahead then unwanted(KEYS[5], KEYS[2], first, ahead, 'replaced|' .. id) end
        redis.call('HSET', KEYS[3], job, id)
        return ''
    end
    if begun or (ahead and (patient or policy == 'queue')) then return 'later' end
    if patient then
        local line = ARGV[5] .. job
        redis.call('ZADD', line, 0, string.sub(id, 1, -2))
        redis.call('EXPIRE', line, 86400)
        return nil
    end
    local waits = redis.call('HGET', KEYS[4], job)
    local waiting = waits and waits ~= id and redis.call('HGET', KEYS[1], waits)
    local queued = waiting and string.find(waiting, '^q')
    if policy == 'skip' or (policy == 'queue' and queued and older(waits, id)) then
        return 'overlap|' .. (queued and waits or other)
    end
    if policy == 'replace' then
        if older(id, other) then return 'replaced|' .. other end
        if queued and older(id, waits) then return 'replaced|' .. waits end
        if not makes_up(going) then unwanted(KEYS[5], KEYS[2], other, going, 'replaced|' .. id) end
    end
    if queued then
        local reason = policy == 'replace' and 'replaced|' or 'overlap|'
        unwanted(KEYS[5], KEYS[2], waits, waiting, reason .. id)
    end
    redis.call('HSET', KEYS[4], job, id)
    return nil
end
