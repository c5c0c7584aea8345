-- Notify once about runs that did not end in time, and keep them for the digest. A run that is no
-- longer expected ended in time, or was notified before. Without a queue there is no notification.
-- A run without a job is only forgotten. Returns how many runs were notified.
--! keys expected late
--! args now late_ttl
--! rows runs(run_id is_known queue message)
--! uses store/notify
local told, queues = 0, {}
for _, run_id, is_known, queue, message in runs() do
    if redis.call('ZREM', expected, run_id) == 1 and is_known ~= '' then
        told = told + 1
        redis.call('ZADD', late, now, run_id)
        if queue ~= '' then
            queues[queue] = queues[queue] or {}
            table.insert(queues[queue], message)
        end
    end
end
if told > 0 then
    redis.call('ZREMRANGEBYSCORE', late, '-inf', now - late_ttl)
    redis.call('ZREMRANGEBYRANK', late, 0, -10001)
    redis.call('EXPIRE', late, late_ttl)
    notify(queues)
end
return told
