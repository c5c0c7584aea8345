--! uses ledger/add_to_count
-- Add to the counts of a day, for different jobs. Return the new counts, in the order of the jobs. Most
-- jobs of a batch have the same count, so one sum serves many of them. A key of another type is
-- deleted, as in add_to_number.lua.
local function add_to_counts(key, job_ids, more)
    local sums, counts, fields = {}, redis.pcall('HMGET', key, unpack(job_ids)), {}
    if counts.err then
        redis.call('DEL', key)
        counts = {}
    end
    for n, job_id in ipairs(job_ids) do
        local count = counts[n] or '0'
        local sum = sums[count]
        if not sum then
            sum = add_to_count(count, more)
            sums[count] = sum
        end
        counts[n], fields[2 * n - 1], fields[2 * n] = sum, job_id, sum
    end
    redis.call('HSET', key, unpack(fields))
    return counts
end
