-- Return what a tick adds to the checksum of its day: x^17 modulo a prime of its milliseconds in the
-- day, as `ledger_ticks.checksum` computes it. All products stay below 2^53.
local function checksum(when)
    local prime = 86400047
    local x = math.floor((when % 86400) * 1000 + 0.5)
    local function times(a, b)
        local low = b % 8192
        return ((a * ((b - low) / 8192) % prime) * 8192 + a * low) % prime
    end
    local power = x
    for _ = 1, 4 do power = times(power, power) end
    return times(power, x)
end
