-- Record ticks that will not run, and tell about them where the job wants it.
local function pass_over(job, due, record, queue, message)
    if queue ~= '' then
        tell({[queue] = {message}}, ARGV[9] ~= '', tonumber(ARGV[10]), KEYS[5], KEYS[6])
    end
    remember(ARGV[4] .. job, tonumber(ARGV[5]), ARGV[6], record)
    account(ARGV[7] .. job, due, record, ARGV[8], ARGV[2])
end
