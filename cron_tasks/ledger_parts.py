"""Lua that several steps of the ledger share. Pushes come before all else in a step: a server that
is full or read-only refuses the first write, and then nothing of the step is done."""


def remember() -> None:
    """
    -- Prepend to a bounded list; false where the key is something else.
    local function remember(list, most, ttl, ...)
        local length = redis.pcall('LPUSH', list, ...)
        if type(length) ~= 'number' then
            if string.find(length.err, 'WRONGTYPE', 1, true) then return false end
            error(length)
        end
        if length > most then redis.call('LTRIM', list, 0, most - 1) end
        redis.call('EXPIRE', list, ttl)
        return true
    end
    """


def tell() -> None:
    """
    -- Queue messages by queue name; of a queue nobody reads the oldest go, and are counted.
    local function tell(queues, stream, most, undeliverable, dropped)
        for queue, messages in pairs(queues) do
            local told, over = nil, 0
            if stream then
                for _, message in ipairs(messages) do
                    told = redis.pcall('XADD', queue, '*', 'data', message)
                end
            else
                told = redis.pcall('RPUSH', queue, unpack(messages))
            end
            if type(told) == 'table' and told.err then
                if not string.find(told.err, 'WRONGTYPE', 1, true) then error(told) end
                for _, message in ipairs(messages) do
                    remember(undeliverable, 1000, 604800, queue .. ' ' .. message)
                end
            elseif stream then
                over = redis.call('XTRIM', queue, 'MAXLEN', most)
            elseif told > most then
                over = told - most
                redis.call('LTRIM', queue, over, -1)
            end
            if over > 0 then redis.call('HINCRBY', dropped, queue, over) end
        end
    end
    """


def account() -> None:
    """
    -- What became of a tick other than "ok", in full for the audit; the last word on it counts. The
    -- record of a stretch of ticks stays: it speaks of the others, too.
    local function account(key, when, line, ttl, now)
        local known = redis.pcall('ZRANGEBYSCORE', key, when, when)
        if known.err then return end
        for _, old in ipairs(known) do
            local stretch = string.find(old, '"until":', 1, true) or string.find(old, '^{"from":')
            if not stretch then redis.call('ZREM', key, old) end
        end
        redis.call('ZADD', key, when, line)
        redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. (now - ttl))
        redis.call('EXPIRE', key, ttl)
    end
    """


def unwanted() -> None:
    """
    -- Have a run end: the worker that runs it looks there, every other one is the sweep's to end.
    local function unwanted(stops, deadlines, id, open, why)
        redis.call('HSET', stops, id, why)
        redis.call('EXPIRE', stops, 86400)
        if not string.find(open, '^r') or string.find(open, '^r|%d+|%a*|task:') then
            redis.call('ZADD', deadlines, 0, id)
        end
    end
    """


def wake() -> None:
    """
    -- Tell a beat that sleeps that there is something to do sooner than it thinks.
    local function wake(list)
        if redis.call('EXISTS', list) == 0 then
            redis.call('LPUSH', list, 'changed')
            redis.call('EXPIRE', list, 60)
        end
    end
    """
