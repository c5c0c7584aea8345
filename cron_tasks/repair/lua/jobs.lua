-- Look at a page of the index: which jobs are not scheduled or have no entry, as id, definition,
-- meta, since, edit. Without those that are paused, disabled or set aside. Answers the next cursor
-- and the rows.
local jobs, schedule, aside = KEYS[1], KEYS[2], KEYS[3]
local cursor, count, prefix = ARGV[1], ARGV[2], ARGV[3]
local page = redis.call('HSCAN', jobs, cursor, 'COUNT', count)
local ids, keys, rows = {}, {}, {}
for n = 1, #page[2], 2 do
    ids[#ids + 1] = page[2][n]
    keys[#keys + 1] = prefix .. page[2][n]
end
for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    local scores = redis.call('ZMSCORE', schedule, unpack(keys, first, last))
    local whole = redis.call('EXISTS', unpack(keys, first, last)) == last - first + 1
    for n, score in ipairs(scores) do
        local key = keys[first + n - 1]
        local there = score and (whole or redis.call('EXISTS', key) == 1)
        if not there and redis.call('HEXISTS', aside, key) == 0 then
            local entry = redis.pcall('HMGET', key, 'definition', 'meta', 'since', 'edit', 'paused')
            if entry.err then entry = {} end
            if not entry[5] and not string.find(entry[1] or '', '"enabled": false}$') then
                rows[#rows + 1] = {ids[first + n - 1], entry[1] or '', entry[2] or '',
                    entry[3] or '', entry[4] or ''}
            end
        end
    end
end
return {page[1], rows}
