-- Return the definition, meta, job, edit and fired of an entry. A key that is not a hash has no
-- fields. It is judged like an empty entry, which is broken.
--! prefixes job_entry
--! uses ledger/settle_fired
local function read_stored(entry)
    if string.sub(entry, 1, #job_entry_prefix) == job_entry_prefix then
        settle_fired(string.sub(entry, #job_entry_prefix + 1), entry)
    end
    local fields = redis.pcall('HMGET', entry, 'definition', 'meta', 'job', 'edit', 'fired')
    return fields.err and {} or fields
end
