-- Skip a fire time of a job. Returns 1, or 0 if it has fired, is skipped already, or the job is not
-- scheduled.
--! keys schedule reports
--! args key job_id run_id fire_time report
--! uses registry/store_skip registry/count_edit registry/note_change
local due = redis.call('ZSCORE', schedule, key)
if not due or tonumber(due) > tonumber(fire_time) then return 0 end
if not store_skip(run_id, fire_time) then return 0 end
-- Beat's judgements from before the skip do not include it, so they are dropped as after an edit.
local edit = count_edit()
redis.call('HSET', key, 'edit', edit)
note_change(job_id, 'changed', edit)
-- With `report` the REST service gets a report of the new next tick.
if report ~= '' then redis.call('ZADD', reports, now, job_id) end
return 1
