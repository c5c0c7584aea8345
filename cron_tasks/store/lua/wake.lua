-- Wake a beat that sleeps: something is due sooner than it expects.
-- One element is enough. It expires, since no beat may be there to take it.
local function wake_beat(list)
    if redis.call('EXISTS', list) == 0 then
        redis.call('LPUSH', list, 'changed')
        redis.call('EXPIRE', list, 60)
    end
end
