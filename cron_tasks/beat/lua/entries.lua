-- Read the entries of due jobs. `edit` is the number of the last edit of an entry that beat knows,
-- '' for none. Returns for each entry 0 if its number is still the same, otherwise its definition,
-- meta, job, edit and fired.
--! prefixes job_entry
--! rows entries(entry edit)
--! uses ledger/settle_fired
local found = {}
for n, entry, edit in entries() do
    local known = edit ~= '' and redis.pcall('HGET', entry, 'edit')
    if known and known == edit then
        found[n] = 0
    else
        if string.sub(entry, 1, #job_entry_prefix) == job_entry_prefix then
            settle_fired(string.sub(entry, #job_entry_prefix + 1), entry)
        end
        local fields = redis.pcall('HMGET', entry, 'definition', 'meta', 'job', 'edit', 'fired')
        -- A key that is not a hash is judged like an empty entry, which is broken.
        found[n] = fields.err and {} or fields
    end
end
return found
