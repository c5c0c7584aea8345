-- Count open runs by the kind of their state, a page at a time. Those in batches are pending, and
-- count with the first page.
-- Returns the cursor of the next page, '0' for none, then pairs of a kind and a number.
--! keys open batches
--! args cursor page_size
--! uses ledger/state
local KINDS = {[PENDING] = 'pending', [WAITING] = 'waiting', [QUEUED] = 'queued',
    [RUNNING] = 'running'}
local page = redis.call('HSCAN', open, cursor, 'COUNT', page_size)
local counts, reply = {}, {page[1]}
for n = 2, #page[2], 2 do
    local state = page[2][n]
    local kind = KINDS[string.sub(state, 1, 1)]
    if is_delegated(state) then kind = 'delegated' end
    if kind then counts[kind] = (counts[kind] or 0) + 1 end
end
if cursor == '0' then
    for _, record in ipairs(redis.call('HVALS', batches)) do
        counts.pending = (counts.pending or 0) + (string.match(record, '^%d+') or 0)
    end
end
for kind, number in pairs(counts) do
    reply[#reply + 1] = kind
    reply[#reply + 1] = number
end
return reply
