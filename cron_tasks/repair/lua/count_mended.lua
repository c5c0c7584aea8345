-- Count repaired differences by their kind.
--! keys mended
--! args kept
--! rows counts(kind times)
--! uses store/add_to_number
for _, kind, times in counts() do add_to_number(mended, kind, times) end
redis.call('EXPIRE', mended, kept)
return 1
