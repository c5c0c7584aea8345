-- Return an error if a sync must no longer write, otherwise nil. A sync may be frozen for longer
-- than its lock lasts. Then another sync holds the lock, or the registry was emptied or rebuilt
-- meanwhile, and the frozen sync has an old list.
--! keys sync_lock generation
--! args token generation_at_start
local function check_fence()
    if redis.call('GET', sync_lock) ~= token then
        return redis.error_reply('REFUSED another sync holds the lock by now')
    end
    if (redis.call('GET', generation) or '') ~= generation_at_start then
        return redis.error_reply('REFUSED the registry was emptied or rebuilt meanwhile')
    end
    return nil
end
