-- Note which open run of its job each new run comes after. `pairs_` is a flat list: run, its
-- predecessor, and so on. Redis forgets them after a day: no run waits for its turn for that long.
--! keys before
local function follow(pairs_)
    if #pairs_ > 0 then
        redis.call('HSET', before, unpack(pairs_))
        redis.call('EXPIRE', before, 86400)
    end
end
