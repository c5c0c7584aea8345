-- Write fields of a hash for a sync. With `clear` the hash is emptied first. Only the first page of
-- fields clears it, so that no reader finds an empty hash.
--! given hash
--! args clear
--! rows fields(field value)
--! uses registry/check_fence
local refusal = check_fence()
if refusal then return refusal end
if clear ~= '' then redis.call('DEL', hash) end
local flat = {}
for _, field, value in fields() do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
end
if #flat > 0 then redis.call('HSET', hash, unpack(flat)) end
return 1
