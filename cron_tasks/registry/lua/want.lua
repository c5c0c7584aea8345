-- Note which rows the next sync has to read: `ids`, and those that the service has poked.
-- `all` in place of an id is the whole list. More than `most` rows become the whole list.
--! keys poke sync_wanted
--! args most all kept
--! rows ids(id)
-- The most pokes that are looked at. They may name few rows again and again.
local LONGEST = 10000
if redis.call('TYPE', sync_wanted).ok ~= 'set' then redis.call('DEL', sync_wanted) end
for _, id in ids() do redis.call('SADD', sync_wanted, id) end
local length = redis.pcall('LLEN', poke)
if type(length) == 'table' or length > LONGEST then
    redis.call('SADD', sync_wanted, all)
else
    for _, id in ipairs(redis.call('LRANGE', poke, 0, -1)) do
        redis.call('SADD', sync_wanted, id)
    end
end
redis.call('DEL', poke)
if redis.call('SCARD', sync_wanted) > tonumber(most) then
    redis.call('DEL', sync_wanted)
    redis.call('SADD', sync_wanted, all)
end
redis.call('EXPIRE', sync_wanted, kept)
return 1
