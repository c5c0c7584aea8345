-- Add to the counters of `cron_tasks:metrics`. `counted` has the number of times that each text is
-- added. A text is pairs of a counter and a number (ledger/counting.py).
--! keys metrics
--! uses store/add_to_number
local function add_to_counters(counted)
    local sums = {}
    for text, times in pairs(counted) do
        for counter, n in string.gmatch(text, '(%S+) (%d+)') do
            sums[counter] = (sums[counter] or 0) + n * times
        end
    end
    for counter, n in pairs(sums) do add_to_number(metrics, counter, n) end
end

-- Add the lines of `texts` to the counters. `times` has the count of each line, by its number as
-- text.
local function add_lines_to_counters(texts, times)
    local counted, number = {}, 0
    for text in string.gmatch(texts, '[^\n]+') do
        number = number + 1
        counted[text] = times[tostring(number)] or 0
    end
    add_to_counters(counted)
end
