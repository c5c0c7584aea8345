-- Count an edit and return its number. Beat drops its judgements from before an edit. A count that
-- is not a number starts again from 1.
--! keys edits
local function count_edit()
    local number = redis.pcall('INCR', edits)
    if type(number) == 'number' then return number end
    redis.call('SET', edits, 1)
    return 1
end
