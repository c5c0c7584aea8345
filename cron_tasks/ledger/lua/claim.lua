--! uses ledger/overlap
local holder, lease, soon, prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ids, granted, states, deadlines = {}, {}, {}, {}
local function mark(id, state, deadline)
    states[#states + 1] = id
    states[#states + 1] = state
    deadlines[#deadlines + 1] = deadline or lease
    deadlines[#deadlines + 1] = id
end
-- What is not just a first attempt of a quick action: {state, document, trace, verdict}.
local function special(id, job, open, document, why)
    local state, attempt, flags, owner = string.match(open, '^(%a)|(%d+)|(%a*)|(.*)$')
    if not (state == 'p' or (state == 'r' and owner == holder)) then return 0 end
    local verdict, claimed = why or '', 'r|' .. attempt .. '|' .. flags .. '|' .. holder
    if not why and string.find(document, '"action":', 1, true) then
        verdict = overlap(job, id, open, document)
    end
    if not verdict then
        mark(id, 'q|' .. attempt .. '|' .. string.gsub(flags, 'q', '') .. 'q|')
        return 0
    end
    if verdict == 'later' then
        mark(id, 'w|' .. attempt .. '|' .. flags .. '|', soon)
        return 0
    end
    mark(id, claimed)
    local trace = attempt ~= '1' and redis.call('HGET', KEYS[6], id) or ''
    return {claimed, document, trace, verdict}
end
-- Return why a run that is pending must not begin, or nil: somebody wants it to end, or its job is
-- paused. A pause does not stop what a person asked for.
local stopping = redis.call('EXISTS', KEYS[5]) == 1
local function unwilling(id, open, paused)
    if string.sub(open, 1, 1) ~= 'p' then return nil end
    local why = stopping and redis.call('HGET', KEYS[5], id)
    if why then return why end
    return paused and not string.find(open, '^%a|%d+|%a*h') and 'paused|' or nil
end
local first = 'r|1||' .. holder
for i = 6, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
    granted[n] = 0
    if open then
        local entry = redis.pcall('HMGET', prefix .. ARGV[5 + 2 * n], 'job', 'paused')
        local document = entry[1] or ''
        local slow = document == '' or string.find(document, '"action":', 1, true)
        local why = unwilling(ids[n], open, entry[2])
        if why == 'paused|' or why == 'removed|' then
            -- The sweep ends it, which knows what has failed so far, and whom to tell.
            mark(ids[n], open, 0)
        elseif open == 'p|1||' and not (slow or why) then
            granted[n] = document
            mark(ids[n], first)
        else
            granted[n] = special(ids[n], ARGV[5 + 2 * n], open, document, why)
        end
    end
end
if #states > 0 then
    redis.call('HSET', KEYS[1], unpack(states))
    redis.call('ZADD', KEYS[2], unpack(deadlines))
end
return granted
