-- Count failures in a row. Return how many the bot may know of, this one included; of a success how
-- many before it, or 1 if it knows of failures before a success that was too old to be told.
-- `late` tells that a message about this end was too old. KEYS[15] has, by job, how many of the
-- failures in a row were, and after a space `owed` while a recovery is still to be told.
local function streak(job, status, late)
    local before = tonumber(redis.call('HGET', KEYS[6], job) or 0)
    local kept = redis.call('HGET', KEYS[15], job) or '0'
    local untold, owed = tonumber(string.match(kept, '^%d+')), string.match(kept, ' owed') or ''
    if status == 'failed' then
        redis.call('HINCRBY', KEYS[6], job, 1)
        if late then
            untold = untold + 1
            redis.call('HSET', KEYS[15], job, untold .. owed)
        end
        return before + 1 - untold
    end
    local known = before - untold
    if known == 0 and owed ~= '' then known = 1 end
    if before > 0 then redis.call('HDEL', KEYS[6], job) end
    if late and known > 0 then
        redis.call('HSET', KEYS[15], job, '0 owed')
    elseif kept ~= '0' then
        redis.call('HDEL', KEYS[15], job)
    end
    return known
end
local function wanted(condition, count)
    if condition == '' then return true end
    if condition == 'never' then return false end
    if condition == 'recovered' then return count > 0 end
    return count == 1 or count % tonumber(condition) == 0
end
