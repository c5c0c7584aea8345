-- Search a page of a hash for fields of runs that are no longer open. The run id is the field, or
-- the value if the hash is `by_job`. With `mend` they are deleted. Returns the next cursor and
-- their number.
--! given belongings
--! keys open
--! args cursor count mend by_job
local next_cursor, page = unpack(redis.call('HSCAN', belongings, cursor, 'COUNT', count))
local left = 0
-- HSCAN returns each field and its value in turn.
for n = 1, #page, 2 do
    local field, value = page[n], page[n+1]
    local run_id = by_job ~= '' and value or field
    if redis.call('HEXISTS', open, run_id) == 0 then
        left = left + 1
        if mend ~= '' then redis.call('HDEL', belongings, field) end
    end
end
return {next_cursor, left}
