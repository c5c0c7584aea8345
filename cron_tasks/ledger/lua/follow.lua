-- Record the open run of its job that each new run comes after. `pairs_` is a flat list: run,
-- predecessor, and so on. The record expires after a day, which is longer than any run waits for
-- its turn.
--! keys before
local function follow(pairs_)
    if #pairs_ > 0 then
        redis.call('HSET', before, unpack(pairs_))
        redis.call('EXPIRE', before, 86400)
    end
end
