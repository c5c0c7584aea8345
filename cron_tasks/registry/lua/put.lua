-- Write a page of jobs: their entries, values in the index, and next ticks.
--
-- Columns: `upcoming` is the next tick, '' for none. `nominal` is its fire time without jitter, ''
-- if that is the same. `after` is the time after which the tick was computed, '' if that is the
-- caller's time. `stamp` is now, in RedBeat's spelling for the meta of an entry. `noted` is '' if the
-- sync has so many later changes that the stream of changes cannot keep those of this page.
--
-- A job is stale, and not written, if its next tick is not after the last tick that its entry has
-- fired, or its fire time not after that tick's. So no tick fires twice, however old the caller's
-- time is, and whatever the jitter was when it fired.
-- If the entry of a listed job was deleted, the audit does not check ticks from before that,
-- because only the entry had the schedule.
--
-- Returns the stale jobs, each as id and the time from which its next tick has to be computed, and
-- the ticks that the changes overtook (supersede.lua).
--! keys schedule jobs set_aside wake removed source
--! args stamp noted
--! rows listed(job_id indexed definition document upcoming nominal after)
--! uses registry/check_fence registry/supersede registry/fired_until registry/adopt_skips
--! uses registry/forget_quarantine registry/note_forgotten registry/count_edit
--! uses registry/note_change store/wake
local refusal = check_fence()
if refusal then return refusal end

local job_ids, keys = {}, {}
for n, job_id in listed() do job_ids[n], keys[n] = job_id, job_entry_prefix .. job_id end
-- In a first sync, one call shows that there is nothing to read.
local existing = #keys == 0 and 0 or redis.call('EXISTS', unpack(keys))
local none_exists, nothing = existing == 0, {}
local index = existing < #keys and redis.call('HMGET', jobs, unpack(job_ids)) or nothing
local any_quarantined = redis.call('EXISTS', set_aside) == 1
local any_removed = redis.call('EXISTS', removed) == 1
local edit = count_edit()
local first_meta = '{"last_run_at": ' .. stamp .. ', "total_run_count": 0}'

-- Return whether a definition has another schedule than the entry, or another `enabled`.
local function changes_timing(entry, definition)
    if not (entry.definition and entry.meta) then return true end
    local timing = string.match(definition, '"schedule": .*')
    return not string.find(entry.definition, timing, 1, true)
end

-- Return the meta of an entry whose timing is new. It keeps the number of runs, and a last run that
-- is in the future by the caller's clock.
local function restart_meta(meta, settled)
    if not meta then return first_meta end
    local runs = string.match(meta, '"total_run_count": (%d+)') or '0'
    local ran = settled > clock and string.match(meta, '({"__type__".-})') or stamp
    return '{"last_run_at": ' .. ran .. ', "total_run_count": ' .. runs .. '}'
end

-- Return the time from which the next tick of a stale job has to be computed, otherwise nil.
local function stale_from(upcoming, nominal, is_scheduled, settled, tick)
    -- A tick that is already in the schedule stays there.
    if upcoming ~= '' and not is_scheduled and tonumber(upcoming) <= settled then
        return string.format('%.6f', settled)
    end
    if nominal ~= '' and tonumber(nominal) <= tick then
        -- No fire time up to the last tick is left, even if there are many.
        return tonumber(upcoming) >= tick and upcoming or string.format('%.6f', tick)
    end
    return nil
end

local values, due, ended, written, stale = {}, {}, {}, {}, {}
for n, job_id, indexed, definition, document, upcoming, nominal, after in listed() do
    local key = keys[n]
    local entry = none_exists and nothing or read_entry(job_id, key)
    if entry.is_broken then redis.call('DEL', key) end
    local has_new_timing = changes_timing(entry, definition)
    local is_scheduled = not has_new_timing and redis.call('ZSCORE', schedule, key)
    local removed_at = any_removed and redis.call('ZSCORE', removed, job_id)
    local settled, tick = fired_until(job_id, key, entry, has_new_timing, removed_at)
    local compute_from = stale_from(upcoming, nominal, is_scheduled, settled, tick)
    if compute_from then
        stale[#stale + 1] = {job_id, compute_from}
    else
        local from = effective_from(settled)
        local is_quarantined = any_quarantined and redis.call('HEXISTS', set_aside, key) == 1
        local since, meta = entry.since or from, entry.meta
        if not is_scheduled and (entry.definition or any_removed) then adopt_skips(job_id, key) end
        if is_quarantined then forget_quarantine(job_id, from) end
        if index[n] and not entry.definition then
            note_forgotten(versions_prefix .. job_id, from)
            redis.call('EXPIRE', versions_prefix .. job_id, audit_ttl)
        end
        if has_new_timing then
            meta = restart_meta(meta, settled)
            if entry.definition then
                supersede(job_id, entry, from)
                if upcoming == '' then ended[#ended + 1] = key end
            end
            since = after == '' and from or effective_from(math.max(settled, tonumber(after)))
            if tick > 0 then store_since(key, since, tick) end
        elseif is_quarantined then
            supersede(job_id, entry, from)
            since = from
            store_since(key, since, last_tick(key, entry))
        end
        if upcoming ~= '' and not is_scheduled and not entry.paused then
            due[#due + 1] = upcoming
            due[#due + 1] = key
        end
        redis.call('HSET', key, 'definition', definition, 'meta', meta, 'job', document,
            'since', since, 'edit', edit)
        local what = entry.definition and 'changed' or 'added'
        if noted ~= '' then
            note_change(job_id, what, edit)
        elseif #written == 0 then
            note_only(job_id, what, edit)
        end
        written[#written + 1] = key
        values[#values + 1] = job_id
        values[#values + 1] = indexed
    end
end
if #due > 0 then redis.call('ZADD', schedule, unpack(due)) end
if #ended > 0 then redis.call('ZREM', schedule, unpack(ended)) end
if #written > 0 then
    redis.call('HSET', jobs, unpack(values))
    redis.call('HDEL', set_aside, unpack(written))
    -- Until the sync has ended, the registry does not equal the list of these validators.
    redis.call('HDEL', source, 'etag', 'last_modified')
    wake_beat(wake)
end
return {stale, overtaken}
