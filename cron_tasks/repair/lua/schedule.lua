--! uses store/wake registry/adopt
-- Put jobs that were missing back into the schedule, each as id, edit, next tick. A job that has
-- been edited, paused, removed or scheduled since it was looked at is left alone.
local schedule, wake_list, skips = KEYS[1], KEYS[2], KEYS[3]
local prefix, accounts, now = ARGV[1], ARGV[2], ARGV[3]
local done = {}
for i = 4, #ARGV, 3 do
    local key = prefix .. ARGV[i]
    local entry = redis.call('HMGET', key, 'edit', 'paused', 'definition')
    if entry[3] and not entry[2] and (entry[1] or '') == ARGV[i+1] then
        if redis.call('ZADD', schedule, 'NX', ARGV[i+2], key) == 1 then
            adopt(accounts .. ARGV[i], schedule, key, skips, now)
            done[#done + 1] = ARGV[i]
        end
    end
end
if #done > 0 then wake_beat(wake_list) end
return done
