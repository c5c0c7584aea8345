-- Wake a sleeping beat, because something is due sooner than it expects. One element is enough. It
-- expires, because there may be no beat to take it.
local function wake_beat(list)
    if redis.call('EXISTS', list) == 0 then
        redis.call('LPUSH', list, 'changed')
        redis.call('EXPIRE', list, 60)
    end
end
