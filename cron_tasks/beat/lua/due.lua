-- Read a page of entries that are due at `now`, and further facts that beat needs. `last_entry` is
-- the last entry of the previous page, or '' for the first page. If that entry is gone, the page is
-- empty, because the start of the next page is unknown. Returns the entries and their scores in
-- turn, the number of the last edit, the next due time, the next deadline ('inf' for none), whether the
-- registry is complete, whether a sync is wanted or running, the skips among the due times, whether
-- the deadline of an open run has passed, whether a run did not end within its limit, and the fields
-- of the entries (read_stored.lua) if there are at most `few`, which saves a round trip.
--! keys schedule generation deadlines edits sync_entry sync_wanted sync_taken skips expected
--! args now page_size last_entry few
--! uses beat/read_stored

-- Return the first score of a sorted set after `now`.
local function next_time(sorted_set)
    local first =
        redis.call('ZRANGEBYSCORE', sorted_set, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return first[2] or 'inf'
end

-- Return 1 if a sorted set has scores up to `most`, else 0. A key of another type has none.
local function has_scores(sorted_set, most)
    local count = redis.pcall('ZCOUNT', sorted_set, '-inf', most)
    return type(count) == 'number' and count > 0 and 1 or 0
end

local function read_due()
    if last_entry == '' then
        return redis.call('ZRANGEBYSCORE', schedule, 0, now, 'WITHSCORES', 'LIMIT', 0, page_size)
    end
    local rank = redis.call('ZRANK', schedule, last_entry)
    if not rank then return {} end
    local more = redis.call('ZCOUNT', schedule, '-inf', now) - rank - 1
    if more <= 0 then return {} end
    local last = rank + math.min(more, page_size)
    return redis.call('ZRANGE', schedule, rank + 1, last, 'WITHSCORES')
end

local due = read_due()
local edit_count = tonumber(redis.call('GET', edits) or 0) or 0
-- Without its generation the registry was emptied. Without its own entry a sync would never run.
local is_complete = redis.call('EXISTS', generation, sync_entry) == 2
    and redis.call('ZSCORE', schedule, sync_entry)
-- The sync completes the registry. Another request would make the next sync read the list again.
local is_sync_coming = redis.call('EXISTS', sync_wanted, sync_taken) > 0
local first_due = due[2]
local due_skips = first_due and redis.pcall('ZRANGEBYSCORE', skips, first_due, now) or {}
-- A key of another type must not stop beat from firing.
if due_skips.err then due_skips = {} end
local stored = {}
if #due <= 2 * few then
    for n = 1, #due, 2 do stored[#stored + 1] = read_stored(due[n]) end
end
return {due, edit_count, next_time(schedule), next_time(deadlines),
    is_complete and 1 or 0, is_sync_coming and 1 or 0, due_skips,
    has_scores(deadlines, now), has_scores(expected, '(' .. now), stored}
