-- Return whether one run of a job was due before another of the same job. Without their `Z`, the
-- times in run ids sort as text, with and without decimals.
local function older(id, other)
    if #id == #other then return id < other end
    return string.sub(id, 1, -2) < string.sub(other, 1, -2)
end
