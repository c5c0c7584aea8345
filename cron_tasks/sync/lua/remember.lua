--! uses registry/fenced
-- Store what a sync found: the fields of the source's hash, and with a time given the generation of
-- a registry that has just been built. How many jobs and rejected rows there are goes with it, so
-- that the next sync notices when some of them are gone.
local refusal = fenced(KEYS[1], ARGV[1], KEYS[2], ARGV[2])
if refusal then return refusal end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'NX') end
redis.call('HSET', KEYS[3], 'jobs', redis.call('HLEN', KEYS[4]),
    'scheduled', redis.call('ZCARD', KEYS[5]), 'rejected', redis.call('HLEN', KEYS[6]),
    unpack(ARGV, 4))
return 1
