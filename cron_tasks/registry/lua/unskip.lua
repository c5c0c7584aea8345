-- Take a skip back. Returns 1, or 0 where there is none, or none any more.
--! keys skips reports
--! args key job_id run_id now report
--! uses registry/count_edit registry/note_change
if redis.call('ZREM', skips, run_id) == 0 then return 0 end
-- What beat judged ahead skips the fire time: it is dropped, as after an edit.
if redis.call('EXISTS', key) == 1 then
    local edit = count_edit()
    redis.call('HSET', key, 'edit', edit)
    note_change(job_id, 'changed', edit)
end
-- With `report` the REST service wants to know that the job has another next tick.
if report ~= '' then redis.call('ZADD', reports, now, job_id) end
return 1
