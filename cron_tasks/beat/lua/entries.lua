-- Read the entries of due jobs. `edit` is the number of the last edit of an entry that beat knows,
-- '' for none. Returns for each entry 0 if its number is still the same, otherwise its fields
-- (read_stored.lua).
--! rows entries(entry edit)
--! uses beat/read_stored
local found = {}
for n, entry, edit in entries() do
    local known = edit ~= '' and redis.pcall('HGET', entry, 'edit')
    found[n] = known and known == edit and 0 or read_stored(entry)
end
return found
