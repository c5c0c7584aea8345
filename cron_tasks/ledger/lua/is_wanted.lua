-- Return whether a notification with a condition is sent after `failures` in a row: 'recovered'
-- after any failure, '5' for the first failure and then for every fifth.
local function is_wanted(condition, failures)
    if condition == 'recovered' then return failures > 0 end
    return failures == 1 or failures % tonumber(condition) == 0
end
