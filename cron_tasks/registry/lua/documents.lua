-- Read the documents of jobs. `edit` is the number of the last edit of a job that the caller knows,
-- '' for none. Returns for each job 0 if it still has that number, otherwise its document and the
-- number, each '' for none.
--! prefixes job_entry
--! rows jobs(job_id edit)
local found = {}
for n, job_id, known in jobs() do
    local fields = redis.pcall('HMGET', job_entry_prefix .. job_id, 'edit', 'job')
    local edit, document = fields[1] or '', fields[2] or ''
    if document ~= '' and edit == known then
        found[n] = 0
    else
        found[n] = {document, edit}
    end
end
return found
