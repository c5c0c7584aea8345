-- Add to the counters of `cron_tasks:metrics`. `counted` has, for each text, how often it counts.
-- A text is pairs of a counter and a number (ledger/counting.py).
--! keys metrics
local function add_to_counters(counted)
    local sums = {}
    for text, times in pairs(counted) do
        for counter, n in string.gmatch(text, '(%S+) (%d+)') do
            sums[counter] = (sums[counter] or 0) + n * times
        end
    end
    -- A key of another type was written by somebody else. It must not hold up the ledger.
    for counter, n in pairs(sums) do redis.pcall('HINCRBY', metrics, counter, n) end
end

-- Add the lines of `texts` to the counters, each as often as `times` says by its number, as text.
local function add_lines_to_counters(texts, times)
    local counted, number = {}, 0
    for text in string.gmatch(texts, '[^\n]+') do
        number = number + 1
        counted[text] = times[tostring(number)] or 0
    end
    add_to_counters(counted)
end
