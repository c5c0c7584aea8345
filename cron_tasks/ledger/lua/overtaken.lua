--! uses store/remember store/tell store/account
-- List ticks that a change overtook like others that were missed, and tell of them. Each row: job id,
-- first tick, what the account says of them, the record that takes its place, queue, message.
-- A row that was listed before changes nothing. The history of a job that was removed stays gone.
local now, prefix, history, most, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local accounts, days, queues, listed = ARGV[6], tonumber(ARGV[7]), {}, 0
for i = 10, #ARGV, 6 do
    local job, due, line, record, queue, message = unpack(ARGV, i, i + 5)
    if redis.call('ZREM', accounts .. job, line) == 1 then
        account(accounts .. job, due, record, days, now)
        remember(KEYS[1], 10000, ttl, record)
        if redis.call('EXISTS', prefix .. job) == 1 then
            remember(history .. job, most, ttl, record)
        end
        if queue ~= '' then
            queues[queue] = queues[queue] or {}
            table.insert(queues[queue], message)
        end
        listed = listed + 1
    end
end
tell(queues, ARGV[8] ~= '', tonumber(ARGV[9]), KEYS[2], KEYS[3])
return listed
