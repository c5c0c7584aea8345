-- Delegate a run to a Celery task, unless it should end. Returns '' if the task now holds the run,
-- otherwise `lost|` or the cancel reason.
--! keys open deadlines stop
--! args run_id held delegated until_when
local state = redis.call('HGET', open, run_id)
if state == delegated then return '' end
if state ~= held then return 'lost|' end
local why = redis.call('HGET', stop, run_id)
if why then return why end
redis.call('HSET', open, run_id, delegated)
redis.call('ZADD', deadlines, until_when, run_id)
return ''
