"""The steps of the ledger as Lua (ledger.py says what they are for).

Each takes any number of ticks as one flat list of arguments; reads and writes are variadic where
they can be, since a call from Lua costs more than what it does.
"""

from cron_tasks.scripts import script


@script
def advance() -> list[str] | None:
    """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
    local deadline, history, keep, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
    local rows, entries = {}, {}
    local i = 6
    while ARGV[i] do
        rows[#rows + 1] = i
        entries[#entries + 1] = ARGV[i]
        i = i + 7 + tonumber(ARGV[i+6])
    end
    local scores = redis.call('ZMSCORE', KEYS[2], unpack(entries))
    local whole = redis.call('EXISTS', unpack(entries)) == #entries
    local moved, over, due, opened = {}, {}, {}, {}
    for n, at in ipairs(rows) do
        local there = whole or redis.call('EXISTS', entries[n]) == 1
        if there and scores[n] and tonumber(scores[n]) == tonumber(ARGV[at+1]) then
            local key, upcoming, job, missed = ARGV[at], ARGV[at+2], ARGV[at+4], ARGV[at+5]
            if upcoming == '' then
                over[#over + 1] = key
            else
                moved[#moved + 1] = upcoming
                moved[#moved + 1] = key
            end
            redis.call('HSET', key, 'meta', ARGV[at+3])
            for tick = at + 7, at + 6 + tonumber(ARGV[at+6]) do
                due[#due + 1] = ARGV[tick]
            end
            if missed ~= '' and string.find('list none', redis.call('TYPE', history .. job).ok) then
                redis.call('LPUSH', history .. job, missed)
                redis.call('LTRIM', history .. job, 0, keep - 1)
                redis.call('EXPIRE', history .. job, ttl)
            end
        end
    end
    if #moved > 0 then redis.call('ZADD', KEYS[2], unpack(moved)) end
    if #over > 0 then redis.call('ZREM', KEYS[2], unpack(over)) end
    for first = 1, #due, 1000 do
        local last = math.min(first + 999, #due)
        local known = redis.call('HMGET', KEYS[3], unpack(due, first, last))
        local fields, deadlines = {}, {}
        for n = first, last do
            if not known[n - first + 1] then
                fields[#fields + 1] = due[n]
                fields[#fields + 1] = 'p|1|'
                deadlines[#deadlines + 1] = deadline
                deadlines[#deadlines + 1] = due[n]
                opened[#opened + 1] = due[n]
            end
        end
        if #fields > 0 then
            redis.call('HSET', KEYS[3], unpack(fields))
            redis.call('ZADD', KEYS[4], unpack(deadlines))
        end
    end
    return opened
    """


@script
def open() -> int:  # type: ignore[empty-body]
    """
    if redis.call('HSETNX', KEYS[1], ARGV[1], 'p|1|') == 0 then return 0 end
    redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
    return 1
    """


@script
def claim() -> list[list[str]]:  # type: ignore[empty-body]
    """
    local holder, lease, prefix = ARGV[1], ARGV[2], ARGV[3]
    local ids, granted, running, leases, gone = {}, {}, {}, {}, {}
    for i = 4, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
    for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
        local state, attempt, owner = 'p', '1', nil
        if open ~= 'p|1|' then
            state, attempt, owner = string.match(open or '', '^(%a)|(%d+)|(.*)$')
        end
        if state == 'p' or owner == holder then
            local job = redis.pcall('HGET', prefix .. ARGV[3 + 2 * n], 'job')
            if type(job) == 'string' then
                local claimed = 'r|' .. attempt .. '|' .. holder
                running[#running + 1] = ids[n]
                running[#running + 1] = claimed
                leases[#leases + 1] = lease
                leases[#leases + 1] = ids[n]
                granted[#granted + 1] = {ids[n], claimed, job}
            else
                gone[#gone + 1] = ids[n]
            end
        end
    end
    if #granted > 0 then
        redis.call('HSET', KEYS[1], unpack(running))
        redis.call('ZADD', KEYS[2], unpack(leases))
    end
    if #gone > 0 then
        redis.call('HDEL', KEYS[1], unpack(gone))
        redis.call('ZREM', KEYS[2], unpack(gone))
    end
    return granted
    """


@script
def renew() -> list[str]:  # type: ignore[empty-body]
    """
    local lost = {}
    for i = 3, #ARGV do
        local open = redis.call('HGET', KEYS[1], ARGV[i])
        if open and string.match(open, '^r|%d+|(.*)$') == ARGV[1] then
            redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i])
        else
            lost[#lost + 1] = ARGV[i]
        end
    end
    return lost
    """


@script
def finish() -> list[str]:  # type: ignore[empty-body]
    """
    local prefix, history, keep, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
    local rows, ids, entries, closed, queues = {}, {}, {}, {}, {}
    local function push(command, list, ...)
        local length = redis.pcall(command, list, ...)
        if type(length) == 'number' then return length end
        if not string.find(length.err, 'WRONGTYPE', 1, true) then error(length) end
    end
    local function remember(list, item, most)
        local length = push('LPUSH', list, item)
        if length then
            if length > most then redis.call('LTRIM', list, 0, most - 1) end
            redis.call('EXPIRE', list, ttl)
        end
    end
    local i = 5
    while ARGV[i] do
        rows[#rows + 1] = i
        ids[#ids + 1] = ARGV[i]
        entries[#entries + 1] = prefix .. ARGV[i+1]
        i = i + 5 + 2 * tonumber(ARGV[i+4])
    end
    local whole = redis.call('EXISTS', unpack(entries)) == #entries
    for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
        local at = rows[n]
        if open == ARGV[at+2] then
            if whole or redis.call('EXISTS', entries[n]) == 1 then
                remember(history .. ARGV[at+1], ARGV[at+3], keep)
            end
            for m = at + 5, at + 3 + 2 * tonumber(ARGV[at+4]), 2 do
                local queue = queues[ARGV[m]] or {}
                queue[#queue + 1] = ARGV[m+1]
                queues[ARGV[m]] = queue
            end
            closed[#closed + 1] = ids[n]
        end
    end
    for queue, messages in pairs(queues) do
        if not push('RPUSH', queue, unpack(messages)) then
            for _, message in ipairs(messages) do
                remember(KEYS[3], queue .. ' ' .. message, 1000)
            end
        end
    end
    if #closed > 0 then
        redis.call('HDEL', KEYS[1], unpack(closed))
        redis.call('ZREM', KEYS[2], unpack(closed))
    end
    return closed
    """


@script
def overdue() -> list[list[str]]:  # type: ignore[empty-body]
    """
    local rows = {}
    local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, id in ipairs(due) do
        local open = redis.call('HGET', KEYS[2], id)
        if open then
            local job = redis.pcall('HGET', ARGV[3] .. (string.match(id, '^(.*)@') or ''), 'job')
            rows[#rows + 1] = {id, open, type(job) == 'string' and job or ''}
        else
            redis.call('ZREM', KEYS[1], id)
        end
    end
    return rows
    """


@script
def hand_back() -> int:  # type: ignore[empty-body]
    """
    for i = 3, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i+1] then
            local attempt = tonumber(string.match(ARGV[i+1], '|(%d+)|')) + tonumber(ARGV[2])
            redis.call('HSET', KEYS[1], ARGV[i], 'p|' .. attempt .. '|')
            redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
        end
    end
    return 1
    """
