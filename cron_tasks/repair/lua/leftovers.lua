-- Look at a page of a hash that belongs to open ticks: how many of its fields speak of a tick that
-- is open no more. The tick is the field, or, by job, the value. With 'mend' they are deleted.
local hash, open = KEYS[1], KEYS[2]
local cursor, count, mend, by_job = ARGV[1], ARGV[2], ARGV[3], ARGV[4] ~= ''
local page = redis.call('HSCAN', hash, cursor, 'COUNT', count)
local over = 0
for n = 1, #page[2], 2 do
    local field, value = page[2][n], page[2][n+1]
    if redis.call('HEXISTS', open, by_job and value or field) == 0 then
        over = over + 1
        if mend ~= '' then redis.call('HDEL', hash, field) end
    end
end
return {page[1], over}
