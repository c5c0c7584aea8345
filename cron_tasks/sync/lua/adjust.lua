-- Store by how much a sync of single rows changed the numbers of jobs, of scheduled jobs and of
-- rejected rows. If the numbers differ for another reason, the next sync of the list still notices.
-- The validators are removed, because the registry no longer equals the list that they identify.
--! keys source
--! args jobs scheduled rejected
--! uses registry/check_fence store/add_to_number
local refusal = check_fence()
if refusal then return refusal end
add_to_number(source, 'jobs', jobs)
add_to_number(source, 'scheduled', scheduled)
add_to_number(source, 'rejected', rejected)
redis.call('HDEL', source, 'etag', 'last_modified')
return 1
