-- Store the position up to which the feed of changes is read and written, and the number of jobs
-- that it has removed since the list was read.
--! keys source
--! args address removed
--! uses registry/check_fence store/add_to_number
local refusal = check_fence()
if refusal then return refusal end
redis.call('HSET', source, 'feed', address)
add_to_number(source, 'feed_removed', removed)
return 1
