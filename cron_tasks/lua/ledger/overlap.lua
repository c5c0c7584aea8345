-- Whether a run of a job may go while another may be going: "" it may, nil it waits for that
-- one's end, else why it must not. What another run left here counts only if that is open.
local function overlap(job, id, document)
    local read, fields = pcall(cjson.decode, document)
    local policy = read and fields.overlap or 'skip'
    if policy == 'allow' then return '' end
    local other = redis.call('HGET', KEYS[3], job)
    local going = other and other ~= id and redis.call('HGET', KEYS[1], other)
    if not (going and string.find(going, '^[rw]')) then
        redis.call('HSET', KEYS[3], job, id)
        return ''
    end
    local waits = redis.call('HGET', KEYS[4], job)
    local waiting = waits and waits ~= id and redis.call('HGET', KEYS[1], waits)
    local queued = waiting and string.find(waiting, '^q')
    if policy == 'skip' or (policy == 'queue' and queued) then
        return 'overlap|' .. (queued and waits or other)
    end
    if policy == 'replace' then
        unwanted(KEYS[5], KEYS[2], other, going, 'replaced|' .. id)
        if queued then unwanted(KEYS[5], KEYS[2], waits, waiting, 'replaced|' .. id) end
    end
    redis.call('HSET', KEYS[4], job, id)
    return nil
end
