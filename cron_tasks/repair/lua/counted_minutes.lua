-- Move a page of minutes in progress of the previous version into the past minutes of their jobs. It
-- counted their runs one by one (keep_minute.lua). Returns the next cursor.
--! keys counted_minute
--! args cursor count
--! uses ledger/keep_minute
local page = redis.pcall('HSCAN', counted_minute, cursor, 'COUNT', count)
if page.err then return {'0', 0} end
local fields = page[2]
for n = 1, #fields, 2 do
    keep_past(fields[n], fields[n + 1])
    redis.call('HDEL', counted_minute, fields[n])
end
write_minutes({})
return {page[1], 0}
