-- Note which open run of its job each run comes after: a flat list of pairs.
local function follow(list, behind)
    if #behind > 0 then
        redis.call('HSET', list, unpack(behind))
        redis.call('EXPIRE', list, 86400)
    end
end
