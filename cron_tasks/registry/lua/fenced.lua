-- Answer an error for a sync whose lock is held by another, or whose registry was emptied or
-- rebuilt since the sync began; answer nil while it may write.
local function fenced(lock, token, generation, known)
    if redis.call('GET', lock) ~= token then
        return redis.error_reply('REFUSED another sync holds the lock by now')
    end
    if (redis.call('GET', generation) or '') ~= known then
        return redis.error_reply('REFUSED the registry was emptied or rebuilt meanwhile')
    end
    return nil
end
