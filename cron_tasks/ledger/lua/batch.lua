-- The record of a batch: "<members> <edit> <fire time> <queue>", a newline, and the ids of its jobs
-- as a JSON list. The id of a batch is "<moment>#<random>". ledger/batch.py reads the same. A batch
-- changes only when members leave it, so its first line identifies its members.
--! keys batches deadlines
--! prefixes prepared

-- Return the moment at which the runs of a batch are due, as run ids spell it.
local function moment_of(batch)
    return string.match(batch, '^([^#]*)#')
end

-- Return the first line of a record without its number of members, and the ids of its jobs. A record
-- that another program has written has none.
local function read_batch(record)
    local rest, members = string.match(record, '^%d+ ([^\n]*)\n(.*)$')
    local is_readable, job_ids = pcall(cjson.decode, members)
    return rest, is_readable and type(job_ids) == 'table' and job_ids or {}
end

-- Store a batch. A batch without members is deleted, with its deadline and its prepared
-- notifications.
local function write_batch(batch, rest, job_ids)
    if #job_ids == 0 then
        redis.call('HDEL', batches, batch)
        redis.call('ZREM', deadlines, batch)
        redis.call('UNLINK', prepared_prefix .. batch)
    else
        local record = #job_ids .. ' ' .. rest .. '\n' .. cjson.encode(job_ids)
        redis.call('HSET', batches, batch, record)
    end
end
