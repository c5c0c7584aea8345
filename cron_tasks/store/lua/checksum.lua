-- Return the checksum of a fire time: x^17 modulo a prime, where x is its milliseconds in the day.
-- `ledger/day_count.py` computes the same. All products stay below 2^53, the limit of exact
-- integers in Lua.
local function checksum(fire_time)
    local prime = 86400047
    local x = math.floor((fire_time % 86400) * 1000 + 0.5)
    local function multiply(a, b)
        local low = b % 8192
        return ((a * ((b - low) / 8192) % prime) * 8192 + a * low) % prime
    end
    local power = x
    for _ = 1, 4 do power = multiply(power, power) end
    return multiply(power, x)
end
