-- Record the rows that the next sync has to read: `ids`, and those that the service has poked.
-- `all` in place of an id is the whole list. More than `most` rows become the whole list. Returns
-- the number of these ids and pokes, more than `most` for the whole list.
--! keys poke sync_wanted
--! args most all kept
--! rows ids(id)
-- The most pokes that are read. They may name a few rows again and again.
local LONGEST = 10000
if redis.call('TYPE', sync_wanted).ok ~= 'set' then redis.call('DEL', sync_wanted) end
local count = 0
for n, id in ids() do
    redis.call('SADD', sync_wanted, id)
    count = n
end
local length = redis.pcall('LLEN', poke)
local is_readable = type(length) == 'number' and length <= LONGEST
local pokes = is_readable and redis.call('LRANGE', poke, 0, -1) or {all}
redis.call('DEL', poke)
for _, id in ipairs(pokes) do
    -- The whole list includes the other rows that were poked.
    if id == all then pokes = {all} end
end
for _, id in ipairs(pokes) do
    redis.call('SADD', sync_wanted, id)
end
if redis.call('SCARD', sync_wanted) > tonumber(most) then
    redis.call('DEL', sync_wanted)
    redis.call('SADD', sync_wanted, all)
end
redis.call('EXPIRE', sync_wanted, kept)
if redis.call('SISMEMBER', sync_wanted, all) == 1 then return most + 1 end
return count + #pokes
