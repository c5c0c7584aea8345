-- Return whether a run of a job was due before another run of that job. Without their `Z`, run ids
-- sort by time as text, even if only one of the times has decimals.
local function older(run_id, other)
    if #run_id == #other then return run_id < other end
    return string.sub(run_id, 1, -2) < string.sub(other, 1, -2)
end
