-- Record that the digest of the time until `ends` was sent, and send it. Without a queue, the
-- digest was empty. Returns 0, and changes nothing, if it was sent before.
--! keys digest
--! args ends queue message
--! uses store/notify
if (tonumber(redis.call('GET', digest) or 0) or 0) >= tonumber(ends) then return 0 end
redis.call('SET', digest, ends, 'EX', 2592000)
if queue ~= '' then notify({[queue] = {message}}) end
return 1
