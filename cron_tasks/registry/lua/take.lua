-- Take the wanted rows, and those that a sync had taken and did not finish reading.
--! keys sync_wanted sync_taken
--! args kept
redis.call('SUNIONSTORE', sync_taken, sync_taken, sync_wanted)
redis.call('DEL', sync_wanted)
redis.call('EXPIRE', sync_taken, kept)
return redis.call('SMEMBERS', sync_taken)
