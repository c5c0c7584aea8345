-- Find the jobs in a page that need more than the default queues. A job is plain if its document
-- names no queue, action, notification, switch or unknown field. Returns the next cursor, the ids
-- and documents of the other jobs, the number of plain jobs without a chat, and the first ids of
-- those, at most `shown`, shorter ones first.
--! keys jobs
--! prefixes job_entry
--! args cursor count shown
local marks = {'"action":', '"notify":', '"queue":', '"enabled":', '"extra":'}
local is_plain = function(document)
    for _, mark in ipairs(marks) do
        if string.find(document, mark, 1, true) then return false end
    end
    return true
end

-- Put an id into the sorted list of the first ids.
local first = {}
local most = tonumber(shown)
local function note_first(job_id)
    local at = #first + 1
    while at > 1 and (#job_id < #first[at-1] or #job_id == #first[at-1] and job_id < first[at-1]) do
        at = at - 1
    end
    if at <= most then
        table.insert(first, at, job_id)
        first[most + 1] = nil
    end
end

local next_cursor, index = unpack(redis.call('HSCAN', jobs, cursor, 'COUNT', count))
local special, without_chat = {}, 0
-- HSCAN returns each job id and its fingerprint in turn.
for n = 1, #index, 2 do
    local job_id = index[n]
    local document = redis.pcall('HGET', job_entry_prefix .. job_id, 'job')
    -- The check of the registry reports a job without a readable document.
    if type(document) == 'string' then
        if not is_plain(document) then
            special[#special + 1] = {job_id, document}
        elseif not string.find(document, '"chat_id":', 1, true) then
            without_chat = without_chat + 1
            note_first(job_id)
        end
    end
end
return {next_cursor, special, without_chat, first}
