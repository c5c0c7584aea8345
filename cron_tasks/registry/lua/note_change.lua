-- Add a change of a job to the stream of changes, for programs that follow the jobs. `what` is
-- added, changed, removed, paused, resumed or rejected, and `edit` is the number of the edit. The
-- stream keeps about the last 10,000 entries. A key of another type in its place is deleted.
--! keys changes
local function note_change(job_id, what, edit)
    local entry = {'XADD', changes, 'MAXLEN', '~', 10000, '*', 'id', job_id, 'what', what, 'edit', edit}
    local reply = redis.pcall(unpack(entry))
    if type(reply) == 'table' and reply.err then
        redis.call('DEL', changes)
        redis.call(unpack(entry))
    end
end
