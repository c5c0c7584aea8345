--! uses registry/supersede
-- Return up to when ticks of a job may have fired, and the last tick that it had; the latter only
-- where its timing has `changed`. A job that was removed and comes back must not fire what it had
-- fired before. An earlier version kept only when a job was removed, not its last tick.
local function fired_until(id, key, old, changed, removed)
    local last, ticked = settled(old), changed and last_tick(key, old) or 0
    if not removed then return last, ticked end
    last = math.max(last, tonumber(removed))
    if not old[1] then
        local version = redis.call('LINDEX', ARGV[4] .. id, 0)
        ticked = tonumber(version and string.match(version, '"ticked": ([%d.]+)') or last)
    end
    return last, ticked
end
