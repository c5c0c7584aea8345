-- Move a page of last fire times of batches into the entries of the jobs, with RedBeat's meta.
-- Returns the next cursor and the number of written entries.
--! keys fired
--! prefixes job_entry
--! args cursor count
--! uses ledger/settle_fired
local next_cursor, page = unpack(redis.call('HSCAN', fired, cursor, 'COUNT', count))
-- HSCAN returns each job id and its value in turn.
for n = 1, #page, 2 do settle_fired(page[n], job_entry_prefix .. page[n]) end
return {next_cursor, #page / 2}
