"""The steps of the ledger as Lua (ledger.py says what they are for); ledger_finish.py has the last.

Each takes any number of ticks as one flat list of arguments; reads and writes are variadic where
they can be, since a call from Lua costs more than what it does.
"""

from cron_tasks.ledger_parts import account, remember, tell, unwanted, wake
from cron_tasks.scripts import script


def pass_over() -> None:
    """
    -- Record ticks that will not run, and tell about them where the job wants it.
    local function pass_over(job, due, record, queue, message)
        if queue ~= '' then
            tell({[queue] = {message}}, ARGV[9] ~= '', tonumber(ARGV[10]), KEYS[5], KEYS[6])
        end
        remember(ARGV[4] .. job, tonumber(ARGV[5]), ARGV[6], record)
        account(ARGV[7] .. job, due, record, ARGV[8], ARGV[2])
    end
    """


def begin() -> None:
    """
    -- Put ticks into the ledger as pending; those that it has already are refused.
    local function begin(ticks, refused)
        local fields, deadlines = {}, {}
        for n, known in ipairs(redis.call('HMGET', KEYS[3], unpack(ticks))) do
            if known then
                refused[#refused + 1] = ticks[n]
            else
                fields[#fields + 1] = ticks[n]
                fields[#fields + 1] = 'p|1||'
                deadlines[#deadlines + 1] = ARGV[3]
                deadlines[#deadlines + 1] = ticks[n]
            end
        end
        if #fields > 0 then
            redis.call('HSET', KEYS[3], unpack(fields))
            redis.call('ZADD', KEYS[4], unpack(deadlines))
        end
    end
    """


@script(remember, tell, account, pass_over, begin)
def advance() -> list[str] | None:
    """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
    local read = tonumber(ARGV[11])
    local edited = (tonumber(redis.call('GET', KEYS[8]) or 0) or 0) ~= read
    local rows, entries = {}, {}
    local i = 12
    while ARGV[i] do
        rows[#rows + 1] = i
        entries[#entries + 1] = ARGV[i]
        i = i + 6 + tonumber(ARGV[i+5]) + (ARGV[i+4] ~= '' and 3 or 0)
    end
    local scores = redis.call('ZMSCORE', KEYS[2], unpack(entries))
    local whole = redis.call('EXISTS', unpack(entries)) == #entries
    local moved, over, due, refused, records = {}, {}, {}, {}, {}
    for n, at in ipairs(rows) do
        local last = at + 5 + tonumber(ARGV[at+5])
        local there = whole or redis.call('EXISTS', entries[n]) == 1
        if there and edited then
            there = tonumber(redis.call('HGET', entries[n], 'edit') or 0) <= read
        end
        if there and scores[n] and tonumber(scores[n]) == tonumber(ARGV[at+1]) then
            if ARGV[at+2] == '' then
                over[#over + 1] = entries[n]
            else
                moved[#moved + 1] = ARGV[at+2]
                moved[#moved + 1] = entries[n]
            end
            redis.call('HSET', entries[n], 'meta', ARGV[at+3])
            for tick = at + 6, last do due[#due + 1] = ARGV[tick] end
            local missed = ARGV[at+4]
            if missed ~= '' then
                local job, queue, message = unpack(ARGV, last + 1, last + 3)
                pass_over(job, ARGV[at+1], missed, queue, message)
                records[#records + 1] = missed
            end
        else
            for tick = at + 6, last do refused[#refused + 1] = ARGV[tick] end
        end
    end
    if #records > 0 then remember(KEYS[7], 10000, ARGV[6], unpack(records)) end
    if #moved > 0 then redis.call('ZADD', KEYS[2], unpack(moved)) end
    if #over > 0 then redis.call('ZREM', KEYS[2], unpack(over)) end
    for first = 1, #due, 1000 do
        begin({unpack(due, first, math.min(first + 999, #due))}, refused)
    end
    return refused
    """


@script(wake)
def open() -> list[str]:  # type: ignore[empty-body]
    """
    local opened = {}
    for i = 3, #ARGV do
        if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[2]) == 1 then
            redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
            opened[#opened + 1] = ARGV[i]
        end
    end
    if #opened > 0 then wake(KEYS[3]) end
    return opened
    """


def overlap() -> None:
    """
    -- Whether a run of a job may go while another may be going: "" it may, nil it waits for that
    -- one's end, else why it must not. What another run left here counts only if that is open.
    local function overlap(job, id, document)
        local read, fields = pcall(cjson.decode, document)
        local policy = read and fields.overlap or 'skip'
        if policy == 'allow' then return '' end
        local other = redis.call('HGET', KEYS[3], job)
        local going = other and other ~= id and redis.call('HGET', KEYS[1], other)
        if not (going and string.find(going, '^[rw]')) then
            redis.call('HSET', KEYS[3], job, id)
            return ''
        end
        local waits = redis.call('HGET', KEYS[4], job)
        local waiting = waits and waits ~= id and redis.call('HGET', KEYS[1], waits)
        local queued = waiting and string.find(waiting, '^q')
        if policy == 'skip' or (policy == 'queue' and queued) then
            return 'overlap|' .. (queued and waits or other)
        end
        if policy == 'replace' then
            unwanted(KEYS[5], KEYS[2], other, going, 'replaced|' .. id)
            if queued then unwanted(KEYS[5], KEYS[2], waits, waiting, 'replaced|' .. id) end
        end
        redis.call('HSET', KEYS[4], job, id)
        return nil
    end
    """


@script(unwanted, overlap)
def claim() -> list[str | list[str] | int]:  # type: ignore[empty-body]
    """
    local holder, lease, prefix = ARGV[1], ARGV[2], ARGV[3]
    local ids, granted, states, deadlines = {}, {}, {}, {}
    local function mark(id, state)
        states[#states + 1] = id
        states[#states + 1] = state
        deadlines[#deadlines + 1] = lease
        deadlines[#deadlines + 1] = id
    end
    -- What is not just a first attempt of a quick action: {state, document, trace, verdict}.
    local function special(id, job, open, document)
        local state, attempt, flags, owner = string.match(open, '^(%a)|(%d+)|(%a*)|(.*)$')
        if not (state == 'p' or (state == 'r' and owner == holder)) then return 0 end
        local verdict, claimed = '', 'r|' .. attempt .. '|' .. flags .. '|' .. holder
        if string.find(document, '"action":', 1, true) then
            verdict = overlap(job, id, document)
        end
        if not verdict then
            mark(id, 'q|' .. attempt .. '|' .. flags .. (attempt == '1' and 'q' or '') .. '|')
            return 0
        end
        mark(id, claimed)
        local trace = attempt ~= '1' and redis.call('HGET', KEYS[6], id) or ''
        return {claimed, document, trace, verdict}
    end
    local first = 'r|1||' .. holder
    for i = 4, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
    for n, open in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
        granted[n] = 0
        if open then
            local document = redis.pcall('HGET', prefix .. ARGV[3 + 2 * n], 'job')
            if type(document) ~= 'string' then document = '' end
            local slow = document == '' or string.find(document, '"action":', 1, true)
            if open == 'p|1||' and not slow then
                granted[n] = document
                mark(ids[n], first)
            else
                granted[n] = special(ids[n], ARGV[3 + 2 * n], open, document)
            end
        end
    end
    if #states > 0 then
        redis.call('HSET', KEYS[1], unpack(states))
        redis.call('ZADD', KEYS[2], unpack(deadlines))
    end
    return granted
    """


@script()
def renew() -> list[str]:  # type: ignore[empty-body]
    """
    local unwanted = {}
    local stopping = redis.call('EXISTS', KEYS[3]) == 1
    for i = 3, #ARGV do
        local open = redis.call('HGET', KEYS[1], ARGV[i])
        local why = stopping and redis.call('HGET', KEYS[3], ARGV[i])
        if not open or string.match(open, '^r|%d+|%a*|(.*)$') ~= ARGV[1] then
            why = 'lost|'
        else
            redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i])
        end
        if why then
            unwanted[#unwanted + 1] = ARGV[i]
            unwanted[#unwanted + 1] = why
        end
    end
    return unwanted
    """


@script(unwanted, wake)
def stop() -> list[str]:  # type: ignore[empty-body]
    """
    local told = {}
    for i = 2, #ARGV do
        local open = redis.call('HGET', KEYS[1], ARGV[i])
        if open then
            unwanted(KEYS[3], KEYS[2], ARGV[i], open, ARGV[1])
            told[#told + 1] = ARGV[i]
        end
    end
    if #told > 0 then wake(KEYS[4]) end
    return told
    """


@script()
def hand_over() -> str:  # type: ignore[empty-body]
    """
    local open = redis.call('HGET', KEYS[1], ARGV[1])
    if open == ARGV[3] then return '' end
    if open ~= ARGV[2] then return 'lost|' end
    local why = redis.call('HGET', KEYS[3], ARGV[1])
    if why then return why end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
    return ''
    """


@script()
def overdue() -> list[list[str]]:  # type: ignore[empty-body]
    """
    local rows = {}
    local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, id in ipairs(due) do
        local open = redis.call('HGET', KEYS[2], id)
        if open then
            local key = ARGV[3] .. (string.match(id, '^(.*)@') or '')
            local job = redis.pcall('HMGET', key, 'job', 'paused')
            if job.err then job = {} end
            local why = redis.call('HGET', KEYS[3], id) or (job[2] and 'paused|') or ''
            local trace = redis.call('HGET', KEYS[4], id) or ''
            rows[#rows + 1] = {id, open, job[1] or '', trace, why}
        else
            redis.call('ZREM', KEYS[1], id)
        end
    end
    return rows
    """


@script()
def hand_back() -> int:  # type: ignore[empty-body]
    """
    for i = 3, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i+1] then
            local attempt, flags = string.match(ARGV[i+1], '|(%d+)|(%a*)|')
            local again = 'p|' .. (tonumber(attempt) + tonumber(ARGV[2])) .. '|' .. flags .. '|'
            redis.call('HSET', KEYS[1], ARGV[i], again)
            redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
        end
    end
    return 1
    """
