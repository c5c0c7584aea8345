-- Move a page of minutes in progress of the previous version into the past minutes of their jobs. It
-- counted their runs one by one. Returns the next cursor.
--! keys counted_minute
--! args cursor count
--! uses ledger/keep_minute
local page = redis.pcall('HSCAN', counted_minute, cursor, 'COUNT', count)
if page.err then return {'0', 0} end
local fields = page[2]
for n = 1, #fields, 2 do
    close_minute(fields[n + 1], {fields[n]}, true)
    redis.call('HDEL', counted_minute, fields[n])
end
write_minutes({})
return {page[1], 0}
