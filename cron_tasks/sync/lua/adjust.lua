--! uses registry/fenced
-- Store by how much a sync of single rows changed the numbers of jobs, of scheduled jobs and of
-- rejected rows. What else differs from them stays to be seen by the next sync of the list. The
-- registry is no longer the list that the service calls by its validators.
--! keys sync_lock generation source
--! args token known jobs scheduled rejected
local refusal = fenced(sync_lock, token, generation, known)
if refusal then return refusal end
redis.call('HINCRBY', source, 'jobs', jobs)
redis.call('HINCRBY', source, 'scheduled', scheduled)
redis.call('HINCRBY', source, 'rejected', rejected)
redis.call('HDEL', source, 'etag', 'last_modified')
return 1
