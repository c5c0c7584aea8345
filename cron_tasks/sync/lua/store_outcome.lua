-- Store the outcome of a sync: fields of the source's hash, and the numbers of jobs and rejected
-- rows. The next sync compares the numbers, and so notices missing ones. `built_at` is the
-- generation of a newly built registry, '' after a failed sync. A registry that has a generation
-- keeps it.
--! keys source jobs schedule rejected
--! args built_at
--! rows fields(field value)
--! uses registry/check_fence
local refusal = check_fence()
if refusal then return refusal end
if built_at ~= '' then redis.call('SET', generation, built_at, 'NX') end
redis.call('HSET', source, 'jobs', redis.call('HLEN', jobs),
    'scheduled', redis.call('ZCARD', schedule), 'rejected', redis.call('HLEN', rejected))
for _, field, value in fields() do redis.call('HSET', source, field, value) end
return 1
