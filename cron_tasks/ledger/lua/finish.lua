--! uses store/remember store/tell store/account store/wake ledger/streak ledger/gather ledger/put_off ledger/unwilling ledger/settle ledger/release ledger/close
local function repeated(open) return string.find(open, '^%a|%d+|%a*r') end
-- Return whether a run that is done again leaves what is known of it as it was: one that does not
-- run, or that had failed before and is stopped.
local function changes_nothing(id, open, status, record)
    if status ~= 'skipped' or not repeated(open) then return false end
    local ran = not string.find(record, '"attempt":0,', 1, true)
    return not ran or redis.call('ZSCORE', KEYS[5], id)
end
local now, prefix, history, keep, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6]), ARGV[7]
local rows, ids, entries, refused, closed = {}, {}, {}, {}, {}
local queues, records, failed, reports, counted, ended, again = {}, {}, {}, {}, {}, 0, false
local stopped = {}
local i = 13
while ARGV[i] do
    rows[#rows + 1] = i
    ids[#ids + 1] = ARGV[i]
    entries[#entries + 1] = prefix .. ARGV[i+1]
    i = i + 7 + 3 * tonumber(ARGV[i+6])
end
local whole = redis.call('EXISTS', unpack(entries)) == #entries
local failing, dead = redis.call('EXISTS', KEYS[6], KEYS[15]) > 0, redis.call('EXISTS', KEYS[5]) == 1
local busy = redis.call('EXISTS', KEYS[7], KEYS[9]) > 0
for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
    local at = rows[n]
    local why = open == ARGV[at+2] and ARGV[at+4] == 'retry' and unwilling(ids[n], open, entries[n])
    if why then
        stopped[#stopped + 1] = tostring(n)
        stopped[#stopped + 1] = why
    elseif open == ARGV[at+2] then
        local job, record, status, tag = ARGV[at+1], ARGV[at+3], ARGV[at+4], ARGV[at+5]
        local there = whole or redis.call('EXISTS', entries[n]) == 1
        local count = 0
        if there and (status == 'failed' or (failing and status == 'ok')) then
            count = streak(job, status, ARGV[at+9] == 'never')
        end
        gather(at, count, queues)
        if status == 'retry' then
            put_off(ids[n], open, record, tag)
            again = true
        else
            if not changes_nothing(ids[n], open, status, record) then
                if there then remember(history .. job, keep, ttl, record) end
                settle(job, tag, counted)
            end
            if status == 'failed' then
                failed[#failed + 1] = now
                failed[#failed + 1] = ids[n]
            elseif dead and status == 'ok' and repeated(open) then
                redis.call('ZREM', KEYS[5], ids[n])
            end
            ended = ended + 1
            records[ended], closed[ended] = record, ids[n]
            if ARGV[11] ~= '' then
                reports[#reports + 1] = now
                reports[#reports + 1] = job
            end
            if busy then busy = release(ids[n], job, now) and 'woken' or busy end
        end
    else
        refused[#refused + 1] = ids[n]
    end
end
tell(queues, ARGV[9] ~= '', tonumber(ARGV[10]), KEYS[3], KEYS[11])
for day in pairs(counted) do redis.call('EXPIRE', ARGV[5] .. day, ARGV[8]) end
if again or busy == 'woken' then wake_beat(KEYS[12]) end
if #reports > 0 then redis.call('ZADD', KEYS[13], unpack(reports)) end
if ended > 0 then close(closed, records, failed) end
return {refused, stopped}
