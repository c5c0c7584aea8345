-- Put what the outcome at `at` tells after `count` failures in a row to its queues.
local function gather(at, count, queues)
    for m = at + 7, at + 6 + 3 * tonumber(ARGV[at+6]), 3 do
        if wanted(ARGV[m+2], count) then
            local queue = queues[ARGV[m]] or {}
            queue[#queue + 1] = ARGV[m+1]
            queues[ARGV[m]] = queue
        end
    end
end
