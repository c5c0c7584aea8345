--! uses store/wake store/older store/follow
local due, state, prefix = ARGV[1], ARGV[2], ARGV[3]
local opened, newest, behind = {}, {}, {}
for i = 4, #ARGV do
    local id = ARGV[i]
    if redis.call('HSETNX', KEYS[1], id, state) == 1 then
        redis.call('ZADD', KEYS[2], due, id)
        opened[#opened + 1] = id
        local job = string.match(id, '^(.*)@') or ''
        local last = newest[job] or redis.pcall('HGET', prefix .. job, 'fired')
        if type(last) == 'string' and older(last, id)
                and redis.call('HEXISTS', KEYS[1], last) == 1 then
            behind[#behind + 1] = id
            behind[#behind + 1] = last
        end
        newest[job] = id
    end
end
follow(KEYS[4], behind)
if #opened > 0 then wake_beat(KEYS[3]) end
return opened
