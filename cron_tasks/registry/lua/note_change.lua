-- Add changes of jobs to the stream of changes, for programs that follow the jobs. `what` is added,
-- changed, removed, paused, resumed or rejected, and `edit` is the number of the edit. The stream
-- keeps about the last 10,000 entries. A key of another type in its place is deleted.
--! keys changes
local function add_change(kept, most, job_id, what, edit, ...)
    local entry =
        {'XADD', changes, 'MAXLEN', kept, most, '*', 'id', job_id, 'what', what, 'edit', edit, ...}
    local reply = redis.pcall(unpack(entry))
    if type(reply) == 'table' and reply.err then
        redis.call('DEL', changes)
        redis.call(unpack(entry))
    end
end

local function note_change(job_id, what, edit)
    add_change('~', 10000, job_id, what, edit)
end

-- Replace all entries by one. A sync does so for changes that the rest of its own would trim. A
-- program that follows finds that its last entry is gone, or a `gap`, and lists the jobs again.
local function note_only(job_id, what, edit)
    add_change('=', 1, job_id, what, edit, 'gap', '1')
end
