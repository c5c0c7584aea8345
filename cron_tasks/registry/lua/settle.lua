-- Delete the rows that the sync with this lock's `token` has taken, because it has read them.
--! keys sync_lock sync_taken
--! args token
if redis.call('GET', sync_lock) ~= token then return 0 end
redis.call('DEL', sync_taken)
return 1
