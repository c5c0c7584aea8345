-- Write a page of rejected rows. With `clear` the previous rows are deleted first. Only the first
-- page clears them, so that no reader finds an empty hash. `job_id` is '' for a row without an id,
-- and `is_new` is '' for a row that was rejected before.
--! keys rejected
--! args clear
--! rows listed(place row job_id is_new)
--! uses registry/check_fence registry/count_edit registry/note_change
local refusal = check_fence()
if refusal then return refusal end
if clear ~= '' then redis.call('DEL', rejected) end
local flat, edit = {}, nil
for _, place, row, job_id, is_new in listed() do
    flat[#flat + 1] = place
    flat[#flat + 1] = row
    if is_new ~= '' then
        edit = edit or count_edit()
        note_change(job_id, 'rejected', edit)
    end
end
if #flat > 0 then redis.call('HSET', rejected, unpack(flat)) end
return 1
