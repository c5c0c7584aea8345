-- Return the record of a minute in progress of a job, with its beginning and its end.
local function close_minute(job_id, known)
    local record = string.match(known, '^%d+ (.*)$')
    local moment = string.match(record, '"scheduled_for":"([^"]*)"') or ''
    return '{"run_id":' .. cjson.encode(job_id .. '@' .. moment) .. record .. '"}'
end
