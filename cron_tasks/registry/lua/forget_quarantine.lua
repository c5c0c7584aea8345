-- Delete the record that the ticks of a job after `from` are missed because its entry could not be
-- read. The job is written again, so they will fire.
--! prefixes account
local function forget_quarantine(job_id, from)
    local account_key = account_prefix .. job_id
    -- A key of another type has no lines.
    for _, line in ipairs(redis.pcall('ZRANGEBYSCORE', account_key, '(' .. from, '+inf')) do
        if string.find(line, '"reason": "set_aside"', 1, true) then
            redis.call('ZREM', account_key, line)
        end
    end
end
