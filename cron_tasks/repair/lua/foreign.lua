-- Look at keys of ours for those that hold another type than `kind`, and for locks (`is_lock`) that
-- would never expire. With `mend` they are deleted: nobody of ours has written them, and none of our
-- scripts could use them.
-- Returns their names.
--! args mend
--! rows known(key kind is_lock)
local foreign = {}
for _, key, kind, is_lock in known() do
    local found = redis.call('TYPE', key).ok
    local is_endless = is_lock ~= '' and redis.call('TTL', key) == -1
    if (found ~= 'none' and found ~= kind) or is_endless then
        if mend ~= '' then redis.call('DEL', key) end
        foreign[#foreign + 1] = key
    end
end
return foreign
