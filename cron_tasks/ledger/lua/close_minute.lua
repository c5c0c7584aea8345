-- Return the record of a job's minute in progress, with its beginning and its end, or nil for a
-- text that is not a minute. An earlier version stored the run id, too.
local function close_minute(job_id, known)
    local record = string.match(known, '^%d+ (.*)$')
    local moment = record and string.match(record, '"scheduled_for":"([^"]*)"')
    if not moment then return nil end
    if string.sub(record, 1, 1) == '{' then return record .. '"}' end
    return '{"run_id":' .. cjson.encode(job_id .. '@' .. moment) .. record .. '"}'
end
