-- Return the time up to which ticks of a job may have fired, and its last tick. The last tick is 0
-- if the timing of the job does not change, because it is not needed then. A job that was removed
-- (`removed_at`) and comes back must not fire the same ticks again.
--! prefixes versions
--! uses registry/entry
local function fired_until(job_id, key, entry, has_new_timing, removed_at)
    local settled = settled_until(entry)
    local tick = has_new_timing and last_tick(key, entry) or 0
    if not removed_at then return settled, tick end
    settled = math.max(settled, read_time(removed_at) or 0)
    if not entry.definition then
        -- An earlier version stored only the time of the removal, and not the last tick.
        local version = redis.pcall('LINDEX', versions_prefix .. job_id, 0)
        local ticked = type(version) == 'string' and string.match(version, '"ticked": ([%d.]+)')
        tick = read_time(ticked) or settled
    end
    return settled, tick
end
