-- Take a skip back. Returns 1, or 0 if there is none, or no longer.
--! keys skips reports
--! args key job_id run_id now report
--! uses registry/count_edit registry/note_change
if redis.call('ZREM', skips, run_id) == 0 then return 0 end
-- Beat's judgements still include the skip, so they are dropped as after an edit.
if redis.call('EXISTS', key) == 1 then
    local edit = count_edit()
    redis.call('HSET', key, 'edit', edit)
    note_change(job_id, 'changed', edit)
end
-- With `report` the REST service gets a report of the new next tick.
if report ~= '' then redis.call('ZADD', reports, now, job_id) end
return 1
