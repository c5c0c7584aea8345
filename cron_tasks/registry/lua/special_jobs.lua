-- Find the jobs in a page of the index that need more than the default queues. Returns the next
-- cursor, the ids and documents of these jobs, the number of other jobs without a chat, and the
-- first ids of those, at most `shown`, shorter ones first.
--
-- A value of the index ends with the letter `special`, `without_chat` or `with_chat` (index.py). If
-- an earlier version wrote it, there is none, and the document has the answer: such a job has one of
-- the `special_fields`, which are separated by spaces.
--! keys jobs
--! prefixes job_entry
--! args cursor count shown special without_chat with_chat special_fields
local letters = {[special] = true, [without_chat] = true, [with_chat] = true}

-- Return the letter of a document.
local function letter_of(document)
    for name in string.gmatch(special_fields, '%S+') do
        if string.find(document, name, 1, true) then return special end
    end
    return string.find(document, '"chat_id":', 1, true) and with_chat or without_chat
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
local found, chatless = {}, 0
-- HSCAN returns each job id and its value in turn.
for n = 1, #index, 2 do
    local job_id, letter = index[n], string.sub(index[n+1], 17)
    local document
    if letter == special or not letters[letter] then
        document = redis.pcall('HGET', job_entry_prefix .. job_id, 'job')
        -- The check of the registry reports a job without a readable document.
        letter = type(document) == 'string' and letter_of(document) or ''
    end
    if letter == special then
        found[#found + 1] = {job_id, document}
    elseif letter == without_chat then
        chatless = chatless + 1
        note_first(job_id)
    end
end
return {next_cursor, found, chatless, first}
