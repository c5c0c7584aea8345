-- Tell a beat that sleeps that there is something to do sooner than it thinks.
local function wake(list)
    if redis.call('EXISTS', list) == 0 then
        redis.call('LPUSH', list, 'changed')
        redis.call('EXPIRE', list, 60)
    end
end
