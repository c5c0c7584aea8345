--! uses store/remember store/tell store/account store/older ledger/pass_over ledger/begin
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('REFUSED another beat leads')
end
local read = tonumber(ARGV[11])
local edited = (tonumber(redis.call('GET', KEYS[8]) or 0) or 0) ~= read
local rows, entries = {}, {}
local i = 12
while ARGV[i] do
    rows[#rows + 1] = i
    entries[#entries + 1] = ARGV[i]
    i = i + 7 + ARGV[i+6] + 6 * ARGV[i+4]
end
local scores = redis.call('ZMSCORE', KEYS[2], unpack(entries))
local whole = redis.call('EXISTS', unpack(entries)) == #entries
local moved, over, due, before, states, refused, records = {}, {}, {}, {}, {}, {}, {}
for n, at in ipairs(rows) do
    local state, last = 'p|1|' .. ARGV[at+5] .. '|', at + 6 + tonumber(ARGV[at+6])
    local there = whole or redis.call('EXISTS', entries[n]) == 1
    if there and edited then
        there = tonumber(redis.call('HGET', entries[n], 'edit') or 0) <= read
    end
    if there and scores[n] and tonumber(scores[n]) == tonumber(ARGV[at+1]) then
        if ARGV[at+2] == '' then
            over[#over + 1] = entries[n]
        else
            moved[#moved + 1] = ARGV[at+2]
            moved[#moved + 1] = entries[n]
        end
        -- Whatever its score says, an entry fires no tick twice.
        local fired = redis.call('HGET', entries[n], 'fired') or ''
        for tick = at + 7, last do
            if fired == '' or older(fired, ARGV[tick]) then
                due[#due + 1] = ARGV[tick]
                before[#before + 1] = fired
                states[#states + 1] = state
                fired = ARGV[tick]
            else
                refused[#refused + 1] = ARGV[tick]
            end
        end
        redis.call('HSET', entries[n], 'meta', ARGV[at+3], 'fired', fired)
        for first = last + 1, last + 6 * ARGV[at+4], 6 do
            records[#records + 1] = pass_over(unpack(ARGV, first, first + 5))
        end
    else
        for tick = at + 7, last do refused[#refused + 1] = ARGV[tick] end
    end
end
for first = 1, #records, 1000 do
    local final = math.min(first + 999, #records)
    remember(KEYS[7], 10000, ARGV[6], unpack(records, first, final))
end
if #moved > 0 then redis.call('ZADD', KEYS[2], unpack(moved)) end
if #over > 0 then redis.call('ZREM', KEYS[2], unpack(over)) end
for first = 1, #due, 1000 do
    local final = math.min(first + 999, #due)
    begin({unpack(due, first, final)}, {unpack(before, first, final)},
        {unpack(states, first, final)}, refused)
end
return refused
