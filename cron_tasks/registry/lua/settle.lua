-- Forget what the sync that holds the lock with `token` has taken, because it has read it.
--! keys sync_lock sync_taken
--! args token
if redis.call('GET', sync_lock) ~= token then return 0 end
redis.call('DEL', sync_taken)
return 1
