-- The state of an open run, as text: "<kind>|<attempt>|<flags>|<holder>". ledger/state.py explains
-- each kind and flag, and reads and writes the same text.
local PENDING, WAITING, QUEUED, RUNNING = 'p', 'w', 'q', 'r'
local BY_HAND, RERUN, WAS_QUEUED, IN_TURN = 'h', 'r', 'q', 'c'

-- Returns kind, attempt, flags and holder, all of them text.
local function read_state(state)
    return string.match(state, '^(%a)|(%d+)|(%a*)|(.*)$')
end

local function write_state(kind, attempt, flags, holder)
    return kind .. '|' .. attempt .. '|' .. flags .. '|' .. holder
end

local function is_kind(state, kind)
    return string.sub(state, 1, 1) == kind
end

-- Return whether a run is delegated to a Celery task. Its kind is then running.
local function is_delegated(state)
    return string.find(state, '^r|%d+|%a*|task:') ~= nil
end

local function has_flag(state, flag)
    return string.find(state, '^%a|%d+|%a*' .. flag) ~= nil
end

local function is_first_attempt(state)
    return string.find(state, '^%a|1|') ~= nil
end
