-- Forget a feed whose cursor the service no longer knows, unless the list has named another since.
-- Without validators, the next sync gets the whole list, with a new cursor.
-- Returns whether it was forgotten.
--! keys source
--! args address
if redis.call('HGET', source, 'feed') ~= address then return 0 end
redis.call('HDEL', source, 'feed', 'etag', 'last_modified')
return 1
