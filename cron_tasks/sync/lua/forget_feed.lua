-- Forget a feed whose cursor the service no longer knows, unless the list has named another since.
-- The doubt makes the next sync read the whole list, with a new cursor. Returns whether it was
-- forgotten.
--! keys source
--! args address
--! uses registry/add_doubt
if redis.call('HGET', source, 'feed') ~= address then return 0 end
redis.call('HDEL', source, 'feed')
add_doubt()
return 1
