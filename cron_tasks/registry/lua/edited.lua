-- Count an edit and return its number. A count that is not a number starts again from 1.
local function edited(edits)
    local number = redis.pcall('INCR', edits)
    if type(number) == 'number' then return number end
    redis.call('SET', edits, 1)
    return 1
end
